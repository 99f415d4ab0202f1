//! The parameter types that values can be bound to, by oid.
//!
//! Oids of built-in types are fixed; those of extensions differ per database and are looked up by name when a statement first uses one.

use std::fmt;

/// The type of a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParamType {
    /// One value.
    Scalar(Scalar),
    /// A one-dimensional array.
    Array {
        /// Type of the elements.
        element: Scalar,
        /// The server's oid of that type, which array values carry.
        element_oid: u32,
    },
    /// A type unknown here, by oid: takes text and NULL.
    Other(u32),
}

/// A type with a binary form that is known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scalar {
    /// boolean
    Bool,
    /// smallint
    Int2,
    /// integer
    Int4,
    /// bigint
    Int8,
    /// oid
    Oid,
    /// real
    Float4,
    /// double precision
    Float8,
    /// numeric
    Numeric,
    /// text, varchar, char(n), name, and what the server left unknown
    Text,
    /// json
    Json,
    /// jsonb
    Jsonb,
    /// uuid
    Uuid,
    /// timestamptz, and timestamp taken as UTC
    Timestamp,
    /// date, of the day in UTC
    Date,
    /// pgvector's vector
    Vector,
    /// pgvector's halfvec
    HalfVector,
}

/// Type, oid, oid of its array; from `pg_type.dat`, where they are fixed for good.
const BUILT_IN: [(Scalar, u32, u32); 19] = [
    (Scalar::Bool, 16, 1000),
    (Scalar::Int8, 20, 1016),
    (Scalar::Int2, 21, 1005),
    (Scalar::Int4, 23, 1007),
    (Scalar::Oid, 26, 1028),
    (Scalar::Float4, 700, 1021),
    (Scalar::Float8, 701, 1022),
    (Scalar::Numeric, 1700, 1231),
    (Scalar::Text, 25, 1009),
    (Scalar::Text, 1043, 1015),
    (Scalar::Text, 1042, 1014),
    (Scalar::Text, 19, 1003),
    (Scalar::Text, 705, 0),
    (Scalar::Json, 114, 199),
    (Scalar::Jsonb, 3802, 3807),
    (Scalar::Uuid, 2950, 2951),
    (Scalar::Timestamp, 1184, 1185),
    (Scalar::Timestamp, 1114, 1115),
    (Scalar::Date, 1082, 1182),
];

/// Oids below this one are given by PostgreSQL itself, never by CREATE TYPE or an extension.
pub(super) const FIRST_NORMAL_OID: u32 = 16_384;

impl ParamType {
    /// The type of a built-in oid; [`ParamType::Other`] for all others.
    pub fn built_in(oid: u32) -> ParamType {
        for (scalar, own, array) in BUILT_IN {
            if oid == own {
                return ParamType::Scalar(scalar);
            }
            if oid == array && array != 0 {
                return ParamType::Array { element: scalar, element_oid: own };
            }
        }
        ParamType::Other(oid)
    }

    /// The type of an oid that the catalogue calls `name` or, if `element` is its oid and name, an array of that.
    pub(super) fn by_name(oid: u32, name: &str, element: Option<(u32, &str)>) -> ParamType {
        let extension = |name: &str| match name {
            "vector" => Some(Scalar::Vector),
            "halfvec" => Some(Scalar::HalfVector),
            "citext" => Some(Scalar::Text),
            _ => None,
        };
        let found = match element {
            None => extension(name).map(ParamType::Scalar),
            Some((element_oid, name)) => extension(name).map(|element| ParamType::Array { element, element_oid }),
        };
        found.unwrap_or(ParamType::Other(oid))
    }
}

impl Scalar {
    fn name(self) -> &'static str {
        match self {
            Scalar::Bool => "boolean",
            Scalar::Int2 => "smallint",
            Scalar::Int4 => "integer",
            Scalar::Int8 => "bigint",
            Scalar::Oid => "oid",
            Scalar::Float4 => "real",
            Scalar::Float8 => "double precision",
            Scalar::Numeric => "numeric",
            Scalar::Text => "text",
            Scalar::Json => "json",
            Scalar::Jsonb => "jsonb",
            Scalar::Uuid => "uuid",
            Scalar::Timestamp => "timestamptz or timestamp",
            Scalar::Date => "date",
            Scalar::Vector => "vector",
            Scalar::HalfVector => "halfvec",
        }
    }
}

impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamType::Scalar(scalar) => f.write_str(scalar.name()),
            ParamType::Array { element, .. } => write!(f, "{}[]", element.name()),
            ParamType::Other(oid) => write!(f, "oid {oid} (select {oid}::regtype names it)"),
        }
    }
}
