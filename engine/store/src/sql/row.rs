//! One row of a result, by column number.

use sqlx::Row as _;

use crate::error::Error;

/// A row of either database.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident -> $type:ty;)+) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name(&self, column: usize) -> Result<$type, Error> {
                let value = match self {
                    // Columns of expressions have no declared type, hence unchecked.
                    Self::Sqlite(row) => row.try_get_unchecked(column),
                    Self::Postgres(row) => row.try_get(column),
                };
                value.map_err(|error| Error::Corrupt(error.to_string()))
            }
        )+
    };
}

impl Row {
    accessors! {
        int -> i64;
        /// A whole number or nothing.
        opt_int -> Option<i64>;
        text -> String;
        /// A text or nothing.
        opt_text -> Option<String>;
        /// Bytes.
        bytes -> Vec<u8>;
    }

    /// A count, which is never negative.
    pub(crate) fn count(&self, column: usize) -> Result<u64, Error> {
        let value = self.int(column)?;
        u64::try_from(value).map_err(|_| Error::Corrupt(format!("a count of {value}")))
    }

    /// A count that fits 32 bits.
    pub(crate) fn small(&self, column: usize) -> Result<u32, Error> {
        let value = self.int(column)?;
        u32::try_from(value).map_err(|_| Error::Corrupt(format!("a count of {value}")))
    }

    pub(crate) fn time(&self, column: usize) -> Result<jiff::Timestamp, Error> {
        time(self.int(column)?)
    }

    /// A time or nothing.
    pub(crate) fn opt_time(&self, column: usize) -> Result<Option<jiff::Timestamp>, Error> {
        self.opt_int(column)?.map(time).transpose()
    }

    /// A text of a closed set.
    pub(crate) fn parse<T>(&self, column: usize) -> Result<T, Error>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        self.text(column)?.parse().map_err(|error: T::Err| Error::Corrupt(error.to_string()))
    }

    /// A JSON text.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, Error> {
        from_json(&self.text(column)?)
    }

    /// A JSON text or nothing.
    pub(crate) fn opt_json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<Option<T>, Error> {
        self.opt_text(column)?.map(|text| from_json(&text)).transpose()
    }
}

fn time(micros: i64) -> Result<jiff::Timestamp, Error> {
    jiff::Timestamp::from_microsecond(micros).map_err(|error| Error::Corrupt(error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(error.to_string()))
}
