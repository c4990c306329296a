//! Values as bytes in postcard's format, written by postcard, with one difference: a vector of bytes is written at
//! once.
//!
//! Serde passes a `Vec<u8>` element by element, which takes a hundred times as long. In the format its bytes are the
//! same as those of a slice of bytes: a length, and the bytes. So wherever a value is passed on, this looks whether it
//! is such a vector. Everything else is left to postcard.

use postcard::ser_flavors::Flavor;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};
use sys::same_type;

/// Writes a value.
pub(crate) fn write<T, F>(value: &T, output: F) -> (postcard::Result<()>, F)
where
    T: Serialize + ?Sized,
    F: Flavor,
{
    let mut serializer = postcard::Serializer { output };
    let written = write_into(value, &mut serializer);
    (written, serializer.output)
}

fn write_into<T, F>(value: &T, into: &mut postcard::Serializer<F>) -> postcard::Result<()>
where
    T: Serialize + ?Sized,
    F: Flavor,
{
    match same_type::as_byte_vec(value) {
        Some(bytes) => into.serialize_bytes(bytes),
        None => value.serialize(ValueSerializer(into)),
    }
}

/// Postcard's serializer, which sees vectors of bytes as bytes.
struct ValueSerializer<'a, F: Flavor>(&'a mut postcard::Serializer<F>);

macro_rules! leave_to_postcard {
    ($($method:ident($Value:ty))*) => {$(
        #[inline]
        fn $method(self, value: $Value) -> postcard::Result<()> {
            self.0.$method(value)
        }
    )*};
}

impl<'a, F: Flavor> Serializer for ValueSerializer<'a, F> {
    type Ok = ();
    type Error = postcard::Error;
    type SerializeSeq = ValueSerializer<'a, F>;
    type SerializeTuple = ValueSerializer<'a, F>;
    type SerializeTupleStruct = ValueSerializer<'a, F>;
    type SerializeTupleVariant = ValueSerializer<'a, F>;
    type SerializeMap = ValueSerializer<'a, F>;
    type SerializeStruct = ValueSerializer<'a, F>;
    type SerializeStructVariant = ValueSerializer<'a, F>;

    leave_to_postcard! {
        serialize_bool(bool)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_f32(f32) serialize_f64(f64)
        serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_unit_struct(&'static str)
    }

    fn serialize_none(self) -> postcard::Result<()> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> postcard::Result<()> {
        // As postcard does: a mark, and the value.
        self.0.serialize_u8(1)?;
        write_into(value, self.0)
    }

    fn serialize_unit(self) -> postcard::Result<()> {
        self.0.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> postcard::Result<()> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> postcard::Result<()> {
        write_into(value, self.0)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> postcard::Result<()> {
        self.0.serialize_u32(index)?;
        write_into(value, self.0)
    }

    fn serialize_seq(self, length: Option<usize>) -> postcard::Result<Self> {
        self.0.serialize_seq(length)?;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> postcard::Result<Self> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> postcard::Result<Self> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> postcard::Result<Self> {
        self.0.serialize_u32(index)?;
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> postcard::Result<Self> {
        self.0.serialize_map(length)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> postcard::Result<Self> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> postcard::Result<Self> {
        self.0.serialize_u32(index)?;
        Ok(self)
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> postcard::Result<()> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a compound value, which in this format just follow each other.
macro_rules! compound {
    ($($Compound:ident { $($method:ident)+ })*) => {$(
        impl<F: Flavor> $Compound for ValueSerializer<'_, F> {
            type Ok = ();
            type Error = postcard::Error;

            $(#[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> postcard::Result<()> {
                write_into(value, self.0)
            })+

            fn end(self) -> postcard::Result<()> {
                Ok(())
            }
        }
    )*};
}

compound! {
    SerializeSeq { serialize_element }
    SerializeTuple { serialize_element }
    SerializeTupleStruct { serialize_field }
    SerializeTupleVariant { serialize_field }
    SerializeMap { serialize_key serialize_value }
}

macro_rules! compound_with_names {
    ($($Compound:ident)*) => {$(
        impl<F: Flavor> $Compound for ValueSerializer<'_, F> {
            type Ok = ();
            type Error = postcard::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> postcard::Result<()> {
                write_into(value, self.0)
            }

            fn end(self) -> postcard::Result<()> {
                Ok(())
            }
        }
    )*};
}

compound_with_names! { SerializeStruct SerializeStructVariant }
