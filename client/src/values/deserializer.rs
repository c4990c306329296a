//! Values from bytes in postcard's format, read by postcard, with one difference: a vector of bytes is read at once, as
//! [`serializer`](super::serializer) writes it.
//!
//! Whether a value is such a vector shows where it is asked for: by the whole, as an element, a field, or the content
//! of a variant. A type that reads bytes in a way of its own is never taken for one.

use std::marker::PhantomData;

use postcard::de_flavors::Slice;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sys::{bulk_copy, same_type};

type Postcard<'de> = postcard::Deserializer<'de, Slice<'de>>;

/// Reads one value, and returns the bytes behind it.
pub(crate) fn read_first<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> postcard::Result<(T, &'de [u8])> {
    let mut from = Postcard::from_bytes(bytes);
    let value = read_from(PhantomData::<T>, &mut from)?;
    Ok((value, from.finalize()?))
}

fn read_from<'de, S: DeserializeSeed<'de>>(seed: S, from: &mut Postcard<'de>) -> postcard::Result<S::Value> {
    // The seed of a plain value is empty, and says only of which type it is to be.
    if same_type::is_plain_seed_of_byte_vec::<S>() {
        return from.deserialize_bytes(BytesToVec).map(same_type::from_byte_vec);
    }
    seed.deserialize(ValueDeserializer(from))
}

struct BytesToVec;

impl Visitor<'_> for BytesToVec {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bulk_copy::to_vec(bytes))
    }
}

/// Postcard's deserializer, which sees vectors of bytes as bytes.
struct ValueDeserializer<'a, 'de>(&'a mut Postcard<'de>);

macro_rules! leave_to_postcard {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> postcard::Result<V::Value> {
            self.0.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDeserializer<'_, 'de> {
    type Error = postcard::Error;

    leave_to_postcard! {
        deserialize_any deserialize_ignored_any deserialize_identifier
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> postcard::Result<V::Value> {
        match u8::deserialize(&mut *self.0)? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            _ => Err(postcard::Error::DeserializeBadOption),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> postcard::Result<V::Value> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> postcard::Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> postcard::Result<V::Value> {
        let length = usize::deserialize(&mut *self.0)?;
        visitor.visit_seq(Parts { from: self.0, left: length })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> postcard::Result<V::Value> {
        visitor.visit_seq(Parts { from: self.0, left: length })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> postcard::Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> postcard::Result<V::Value> {
        let length = usize::deserialize(&mut *self.0)?;
        visitor.visit_map(Parts { from: self.0, left: length })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> postcard::Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> postcard::Result<V::Value> {
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a compound value that are left to read.
struct Parts<'a, 'de> {
    from: &'a mut Postcard<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = postcard::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> postcard::Result<Option<S::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        read_from(seed, self.from).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = postcard::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> postcard::Result<Option<S::Value>> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> postcard::Result<S::Value> {
        read_from(seed, self.from)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for ValueDeserializer<'_, 'de> {
    type Error = postcard::Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> postcard::Result<(S::Value, Self)> {
        let index = u32::deserialize(&mut *self.0)?;
        let index = serde::de::IntoDeserializer::<postcard::Error>::into_deserializer(index);
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for ValueDeserializer<'_, 'de> {
    type Error = postcard::Error;

    fn unit_variant(self) -> postcard::Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> postcard::Result<S::Value> {
        read_from(seed, self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> postcard::Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> postcard::Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::values::serializer;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Empty,
        Raw(Vec<u8>),
        Pair(u16, Option<Vec<u8>>),
        Named { bytes: Vec<u8>, text: String },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Vec<u8>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Many {
        shapes: Vec<Shape>,
        by_name: BTreeMap<String, Vec<u8>>,
        nothing: (),
        wrapped: Wrapped,
        numbers: [i64; 3],
        real: f64,
        letter: char,
        rest: Option<Box<Many>>,
    }

    /// Asserts that a value has the bytes that postcard gives it, and comes back from them.
    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let expected = postcard::to_allocvec(value).unwrap();
        let (written, output) = serializer::write(value, postcard::ser_flavors::AllocVec::new());
        written.unwrap();
        assert_eq!(postcard::ser_flavors::Flavor::finalize(output).unwrap(), expected);
        let with_more = [expected.as_slice(), b"more"].concat();
        let (read, rest) = read_first::<T>(&with_more).unwrap();
        assert_eq!((&read, rest), (value, b"more".as_slice()));
        for cut in 0..expected.len() {
            assert!(read_first::<T>(&expected[..cut]).is_err(), "cut at {cut}");
        }
    }

    fn many(rest: Option<Box<Many>>) -> Many {
        let named = Shape::Named { bytes: vec![0; 200], text: "text".to_owned() };
        Many {
            shapes: vec![
                Shape::Empty,
                Shape::Raw(vec![1, 2]),
                Shape::Pair(300, Some(vec![])),
                Shape::Pair(0, None),
                named,
            ],
            by_name: [("a".to_owned(), vec![7; 3]), ("b".to_owned(), vec![])].into(),
            nothing: (),
            wrapped: Wrapped(vec![255]),
            numbers: [i64::MIN, -1, 7],
            real: 0.5,
            letter: 'ö',
            rest,
        }
    }

    #[test]
    fn values_have_the_bytes_that_postcard_gives_them() {
        round_trip(&vec![1_u8, 2, 3]);
        round_trip(&Vec::<u8>::new());
        round_trip(&(vec![9_u8; 300], 7_u64, "text".to_owned()));
        round_trip(&Some(vec![vec![1_u8], vec![]]));
        round_trip(&Result::<Vec<u8>, String>::Ok(vec![1]));
        round_trip(&vec![-1_i8, 2]);
        round_trip(&many(Some(Box::new(many(None)))));
    }

    #[test]
    fn a_type_that_reads_bytes_in_a_way_of_its_own_still_does() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Doubled(#[serde(deserialize_with = "double")] Vec<u8>);

        fn double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
            let bytes = Vec::<u8>::deserialize(deserializer)?;
            Ok(bytes.into_iter().map(|byte| 2 * byte).collect())
        }

        let bytes = postcard::to_allocvec(&(1_u8, vec![1_u8, 2])).unwrap();
        assert_eq!(read_first::<(u8, Doubled)>(&bytes).unwrap().0, (1, Doubled(vec![2, 4])));
    }

    #[test]
    fn a_claimed_length_reserves_nothing() {
        let claimed = [0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2];
        assert!(read_first::<Vec<u8>>(&claimed).is_err());
        assert!(read_first::<Vec<u32>>(&claimed).is_err());
        assert!(read_first::<BTreeMap<u8, Vec<u8>>>(&claimed).is_err());
    }
}
