//! What a reload changes, and what it leaves as it is.

use super::settings_macro::SettingKind;
use super::{Config, Target};
use std::sync::Arc;

/// The settings that differ and cannot change without a restart, by their keys in the file.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let fixed = Config::SETTINGS.iter().filter(|setting| setting.kind == SettingKind::NeedsRestart);
    fixed.filter(|setting| (setting.yaml)(old) != (setting.yaml)(new)).map(|setting| setting.key).collect()
}

impl Config {
    /// The active configuration after a reload: the new one, with the old values of what needs a restart.
    pub fn reloaded(&self, mut new: Self) -> Self {
        for setting in Self::SETTINGS.iter().filter(|setting| setting.kind == SettingKind::NeedsRestart) {
            (setting.copy)(&mut new, self);
        }
        new
    }

    /// For each target the index of the one in `old` that is the same service.
    pub fn kept_from(&self, old: &Self) -> Vec<Option<usize>> {
        let same = |target: &Arc<Target>| old.targets.iter().position(|old| old.is_same_service(target));
        self.targets.iter().map(same).collect()
    }
}

impl Target {
    /// Is it still the same service that is probed, so that its state stays true?
    pub fn is_same_service(&self, other: &Self) -> bool {
        let key = |target: &Self| {
            let service = (target.kind, target.host.clone(), target.port, target.user.clone(), target.database.clone());
            (target.name.clone(), service, target.via, target.depth)
        };
        key(self) == key(other)
    }
}

/// For each target what belongs to the old one that `kept` names.
pub fn carry_over<T>(old: Vec<T>, kept: &[Option<usize>]) -> Vec<Option<T>> {
    let mut old: Vec<_> = old.into_iter().map(Some).collect();
    kept.iter().map(|kept| kept.and_then(|index| old.get_mut(index)?.take())).collect()
}
