//! Statements that can be explained: each is declared once, with values to try it with.

use sqlx::migrate::Migrator;

/// What a statement may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It finds its rows by an index.
    Indexed,
    /// It reads whole tables, for this reason.
    Whole(&'static str),
}

/// A statement of a store.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Name of its constant.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
    /// For each parameter an expression whose value is tried, evaluated on the filled tables.
    pub samples: &'static [&'static str],
    /// What it may cost.
    pub rule: Rule,
}

/// Everything that `touchstone explain` needs of a store.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// Service, which is also the schema.
    pub service: &'static str,
    /// Its tables.
    pub migrator: &'static Migrator,
    /// Statements that fill them; `$1` is the number of rows of the largest tables.
    pub fill: &'static [&'static str],
    /// Its statements.
    pub statements: &'static [&'static [Statement]],
}

/// Declares statements as constants, and all of them as `STATEMENTS`:
///
/// ```text
/// statements! {
///     /// A user by address.
///     USER_BY_EMAIL ["(SELECT email_key FROM users LIMIT 1)"] = "SELECT … WHERE email_key = $1";
///     /// How many there are.
///     COUNT [] whole "counts them" = "SELECT count(*) FROM users";
/// }
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __postgres_statements {
    ($(
        $(#[$meta:meta])*
        $name:ident [$($sample:expr),* $(,)?] $(whole $reason:literal)? = $sql:expr;
    )+) => {
        $(
            $(#[$meta])*
            pub const $name: &str = $sql;
        )+

        /// Every statement of this store.
        pub const STATEMENTS: &[$crate::postgres::Statement] = &[$(
            $crate::postgres::Statement {
                name: stringify!($name),
                sql: $name,
                samples: &[$($sample),*],
                rule: $crate::__postgres_rule!($($reason)?),
            },
        )+];
    };
}

#[macro_export]
#[doc(hidden)]
macro_rules! __postgres_rule {
    () => {
        $crate::postgres::Rule::Indexed
    };
    ($reason:literal) => {
        $crate::postgres::Rule::Whole($reason)
    };
}
