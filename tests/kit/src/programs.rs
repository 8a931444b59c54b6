use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The repository's folder.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("the crate is in tests/kit").to_owned()
}

/// Where cargo builds: the folder above `debug/deps/TEST` or `debug/examples/EXAMPLE`.
pub fn target_folder() -> PathBuf {
    let me = std::env::current_exe().expect("a program has a path");
    me.ancestors().nth(3).expect("cargo's folders are three deep").to_owned()
}

/// The debug build of telltail. Cargo does not make it for the tests of another package, and an old one proves nothing.
pub fn telltail() -> PathBuf {
    let program = target_folder().join("debug/telltail");
    let built = fs::metadata(&program).and_then(|meta| meta.modified());
    let built = built.unwrap_or_else(|error| panic!("{}: {error}; run cargo build --bin telltail", program.display()));
    let newest = newest_below(&repository().join("src"));
    assert!(built >= newest, "{} is older than src; run cargo build --bin telltail", program.display());
    program
}

fn newest_below(path: &Path) -> SystemTime {
    if path.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| newest_below(&entry.path())).max().unwrap_or(SystemTime::UNIX_EPOCH);
    }
    fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A program of a Debian package.
pub fn debian_program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root's PATH leads.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing (Debian package {package}): run tests/tailnet/install"))
}

/// A program that `tests/tailnet/install` has put beside the build.
pub fn installed_program(name: &str) -> PathBuf {
    let path = repository().join("target/tailnet").join(name);
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}; run tests/tailnet/install", path.display()))
}
