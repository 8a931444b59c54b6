//! Volumes as folders, and what is in them. A ConfigMap changes as the kubelet changes it: all its files at once.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::spec::{Volume, VolumeSource};

/// File names and their contents.
pub type Files = BTreeMap<String, String>;

/// What a pod's volumes take their files from, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub config_maps: BTreeMap<String, Files>,
    pub secrets: BTreeMap<String, Files>,
}

/// A volume on this machine.
#[derive(Debug)]
pub(super) struct Mounted {
    pub path: PathBuf,
    /// Whatever a container's mount says.
    pub read_only: bool,
    /// A folder, and not a device.
    pub folder: bool,
}

/// Makes a volume below a folder.
pub(super) fn make(volume: &Volume, below: &Path, objects: &Objects) -> Mounted {
    let path = below.join(&volume.name);
    let folder = |read_only| Mounted { path: path.clone(), read_only, folder: true };
    match &volume.source {
        VolumeSource::EmptyDir { .. } => {
            new_folder(&path, 0o777);
            folder(false)
        }
        VolumeSource::ConfigMap { name } => {
            new_folder(&path, 0o755);
            write_all_at_once(&path, lookup("ConfigMap", &objects.config_maps, name));
            folder(true)
        }
        VolumeSource::Secret { secret_name, items } => {
            new_folder(&path, 0o755);
            let secret = lookup("Secret", &objects.secrets, secret_name);
            let file = |key: &String| secret.get(key).unwrap_or_else(|| panic!("Secret {secret_name} has no {key:?}"));
            let chosen: Files = items.iter().map(|item| (item.path.clone(), file(&item.key).clone())).collect();
            write_all_at_once(&path, if items.is_empty() { secret } else { &chosen });
            folder(true)
        }
        VolumeSource::HostPath { path, .. } => Mounted { path: path.into(), read_only: false, folder: false },
    }
}

/// The kubelet's way: readers see the old files or the new ones, never some of each.
pub(super) fn write_all_at_once(folder: &Path, files: &Files) {
    let old = fs::read_link(folder.join("..data")).ok();
    let number = old.as_ref().and_then(|old| old.to_str()?.strip_prefix("..")?.parse::<u32>().ok());
    let new = format!("..{}", number.map_or(1, |number| number + 1));
    new_folder(&folder.join(&new), 0o755);
    for (name, content) in files {
        fs::write(folder.join(&new).join(name), content).expect("own folder");
    }
    symlink(&new, folder.join("..data_tmp")).expect("own folder");
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("own folder");
    for name in files.keys().filter(|name| fs::symlink_metadata(folder.join(name)).is_err()) {
        symlink(Path::new("..data").join(name), folder.join(name)).expect("own folder");
    }
    if let Some(old) = old {
        fs::remove_dir_all(folder.join(old)).expect("own folder");
    }
}

pub(super) fn lookup<'a>(kind: &str, objects: &'a BTreeMap<String, Files>, name: &str) -> &'a Files {
    objects.get(name).unwrap_or_else(|| panic!("the pod wants the {kind} {name:?}, which does not exist"))
}

fn new_folder(path: &Path, mode: u32) {
    fs::create_dir_all(path).expect("the tailnet's folder is writable");
    // The umask is not asked.
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("own folder");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_replaces_what_the_files_say_and_leaves_their_links() {
        let folder = tempfile::tempdir().unwrap();
        let files = |text: &str| Files::from([("telltail.yaml".to_owned(), text.to_owned())]);
        let file = folder.path().join("telltail.yaml");

        write_all_at_once(folder.path(), &files("readiness: strict"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "readiness: strict");
        assert_eq!(fs::read_link(&file).unwrap(), Path::new("..data/telltail.yaml"));

        write_all_at_once(folder.path(), &files("readiness: observe"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "readiness: observe");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "the old files are gone");
    }
}
