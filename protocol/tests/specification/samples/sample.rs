//! What a sample is, and how one is made of a value.

/// A variant of an enum, or a struct, and an example of it.
pub(crate) struct Sample {
    /// The name of the enum or struct.
    pub(crate) owner: &'static str,
    /// The name of the variant, if it is one.
    pub(crate) variant: Option<&'static str>,
    /// The names of its fields in order; none if they have no names.
    pub(crate) fields: Vec<&'static str>,
    /// An encoded value.
    pub(crate) bytes: Vec<u8>,
}

/// Appends a sample of each variant of an enum. The `match` makes the compiler ask for a variant that is missing.
macro_rules! variants {
    ($samples:ident, $owner:ident {
        $($variant:ident $({ $($field:ident: $value:expr),+ $(,)? })? $(($inner:expr))?),+ $(,)?
    }) => {
        let _every = |value: &$owner| match value { $($owner::$variant { .. } => {})+ };
        $($samples.push(Sample {
            owner: stringify!($owner),
            variant: Some(stringify!($variant)),
            fields: vec![$($(stringify!($field)),+)?],
            bytes: encode::<$owner>($owner::$variant $({ $($field: $value),+ })? $(($inner))?),
        });)+
    };
}

/// Appends a sample of a struct. It names every field, so the compiler asks for one that is missing.
macro_rules! structs {
    ($samples:ident, $($owner:ident { $($field:ident: $value:expr),+ $(,)? })+) => {
        $($samples.push(Sample {
            owner: stringify!($owner),
            variant: None,
            fields: vec![$(stringify!($field)),+],
            bytes: encode::<$owner>($owner { $($field: $value),+ }),
        });)+
    };
}

pub(super) use {structs, variants};

/// The bytes of a value.
pub(super) fn encode<T: serde::Serialize>(value: T) -> Vec<u8> {
    postcard::to_allocvec(&value).unwrap()
}
