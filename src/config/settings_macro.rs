//! What one declaration of a setting gives: a field with its default, and all that reads, shows, describes, compares
//! and reloads it.

use serde_json::Value;

/// What a setting belongs to, and when a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingKind {
    /// The agent's; a reload changes it.
    Reloadable,
    /// The agent's; a change needs a restart.
    NeedsRestart,
    /// One target's.
    PerTarget,
    /// One target's; a setting of the same name is the default of all targets.
    TargetDefault,
}

/// A setting of `T`, which is the configuration or a target.
pub(super) struct Setting<T> {
    /// The key in the file and, for a target, in the query of its URL.
    pub key: &'static str,
    /// For people.
    pub doc: &'static str,
    pub kind: SettingKind,
    /// Reads the value into its field, or says what is wrong with it.
    pub parse_into: fn(&mut T, &str) -> Result<(), String>,
    /// The field as YAML; none where it is unset.
    pub yaml: fn(&T) -> Option<String>,
    /// The default where the field is unset.
    pub unset: fn() -> String,
    /// The JSON Schema, from the doc and the `T` that has the default.
    pub schema: fn(&str, Option<&T>) -> Value,
    /// Copies the field.
    pub copy: fn(&mut T, &T),
}

/// Declares a struct and its settings: `field: type = default, syntax, kind;`. The doc of a setting is also its
/// description in the JSON Schema and in the help. A default may use the fields that are not settings.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($(#[$plain_meta:meta])* $plain:ident: $plain_type:ty,)* }
        $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $syntax:expr, $kind:ident;)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$plain_meta])* pub $plain: $plain_type,)*
            $($(#[doc = $doc])+ pub $field: $type,)*
        }

        impl $name {
            /// Every setting at its default.
            pub fn with_defaults($($plain: $plain_type),*) -> Self {
                $(let $field = $default;)*
                Self { $($plain,)* $($field,)* }
            }

            pub(super) const SETTINGS: &'static [Setting<Self>] = &[$(Setting {
                key: stringify!($field),
                doc: concat!($($doc),+),
                kind: SettingKind::$kind,
                parse_into: |to, text| $syntax.parse(text).map(|value| to.$field = value),
                yaml: |of| $syntax.yaml(&of.$field),
                unset: || $syntax.unset(),
                schema: |doc, default| $syntax.schema(doc, default.map(|of| &of.$field)),
                copy: |to, from| to.$field.clone_from(&from.$field),
            },)*];
        }
    };
}

pub(super) use settings;
