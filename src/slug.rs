//! Closed lists whose values have one stable name in metrics, logs, JSON and the configuration.

/// Declares an enum with `ALL`, in the order of declaration, and `slug`, the stable name of each value.
///
/// A macro of our own: with `strum` the names would follow from the variants, and a renamed variant would silently break
/// a dashboard. Here each name is written down where it is declared.
macro_rules! slug_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $slug:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: [Self; [$($slug),*].len()] = [$(Self::$variant,)*];

            /// The stable name: label value, log field, JSON value, keyword.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }
        }
    };
}

pub(crate) use slug_enum;
