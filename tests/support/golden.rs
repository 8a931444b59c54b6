//! Files that say what the code says.

#![allow(dead_code, reason = "not every test program has both kinds")]

/// Holds `text` against the file, or writes the file if `UPDATE_GOLDEN` is set.
pub fn golden(path: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let first = golden.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(
        golden == text,
        "{} differs from line {} on: run `UPDATE_GOLDEN=1 cargo test` and read the diff",
        path.display(),
        first.unwrap_or(golden.lines().count().min(text.lines().count())) + 1,
    );
}

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

/// Holds the generated part of a page against what was generated now.
pub fn check(path: &str, generated: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let page = std::fs::read_to_string(file).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("a mark where the generated part begins");
    let (_, after) = rest.split_once(END).expect("a mark where the generated part ends");
    golden(path, &format!("{before}{BEGIN}\n{generated}\n{END}{after}"));
}
