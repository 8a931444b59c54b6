//! tailscaled's version, and the versions that telltail is tested with (docs/compatibility.md).

/// The oldest tested minor release.
pub const OLDEST_TESTED: (u32, u32) = (1, 80);

/// The newest tested minor release.
pub const NEWEST_TESTED: (u32, u32) = (1, 102);

/// Is a version like `1.102.5-t…` at least `than`?
pub fn is_at_least(version: &str, than: (u32, u32)) -> bool {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= than
}
