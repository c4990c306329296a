//! Values of a generic type that turn out to be vectors of bytes.
//!
//! Serde writes and reads a `Vec<u8>` element by element, since it cannot know that the elements are bytes. A
//! serializer that is generic over the type of a value asks here.

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};

/// The value as a vector of bytes, if it is one.
#[inline]
#[allow(unsafe_code)]
pub fn as_byte_vec<T: ?Sized>(value: &T) -> Option<&Vec<u8>> {
    if !is::<T, Vec<u8>>() {
        return None;
    }
    // SAFETY: `T` is `Vec<u8>`, so this is the same reference.
    Some(unsafe { &*std::ptr::from_ref(value).cast::<Vec<u8>>() })
}

/// A vector of bytes as a `T`, which [`is_byte_vec`] says that it is.
///
/// # Panics
///
/// If it is not.
#[inline]
#[allow(unsafe_code)]
#[must_use]
pub fn from_byte_vec<T>(bytes: Vec<u8>) -> T {
    assert!(is_byte_vec::<T>(), "the caller has asked");
    let bytes = ManuallyDrop::new(bytes);
    // SAFETY: `T` is `Vec<u8>`, and the original is not dropped, so this moves it.
    unsafe { mem::transmute_copy::<ManuallyDrop<Vec<u8>>, T>(&bytes) }
}

/// Whether this is the type of the seed by which serde asks for a vector of bytes: `PhantomData<Vec<u8>>`. Such a seed
/// makes a `Vec<u8>`.
#[inline]
#[must_use]
pub fn is_plain_seed_of_byte_vec<S: ?Sized>() -> bool {
    is::<S, PhantomData<Vec<u8>>>()
}

/// Whether `T` is `Vec<u8>`.
#[inline]
#[must_use]
pub fn is_byte_vec<T: ?Sized>() -> bool {
    is::<T, Vec<u8>>()
}

/// Whether two types are the same but for their lifetimes. For a `U` without any, whether they are the same.
#[inline]
fn is<T: ?Sized, U: ?Sized>() -> bool {
    erased_id::<T>() == erased_id::<U>()
}

/// The id that a type has if its lifetimes are taken to be static.
#[inline]
#[allow(unsafe_code)]
fn erased_id<T: ?Sized>() -> TypeId {
    trait Erased {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }

    impl<T: ?Sized> Erased for PhantomData<T> {
        #[inline]
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }

    let phantom = PhantomData::<T>;
    // SAFETY: only the bound on the lifetime of the trait object changes. `id` is the one thing that is done with it,
    // and it uses no value of `T` and no reference; a lifetime has no effect on which code runs.
    let erased = unsafe { mem::transmute::<&dyn Erased, &(dyn Erased + 'static)>(&phantom) };
    erased.id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_vector_of_bytes_is_one() {
        assert!(is_byte_vec::<Vec<u8>>());
        assert!(!is_byte_vec::<Vec<i8>>() && !is_byte_vec::<[u8]>() && !is_byte_vec::<&Vec<u8>>());
        assert!(!is_byte_vec::<Vec<&u8>>() && !is_byte_vec::<Option<Vec<u8>>>());
        assert_eq!(as_byte_vec(&vec![7_u8]), Some(&vec![7]));
        assert_eq!(as_byte_vec("text"), None);
        let text = String::from("text");
        assert_eq!(as_byte_vec(&text.as_str()), None, "a type with a lifetime");
    }

    #[test]
    fn a_vector_is_moved_not_copied() {
        let bytes = vec![1_u8, 2, 3];
        let place = bytes.as_ptr();
        let moved: Vec<u8> = from_byte_vec(bytes);
        assert_eq!((moved.as_ptr(), moved.as_slice()), (place, [1, 2, 3].as_slice()));
    }

    #[test]
    #[should_panic(expected = "has asked")]
    fn bytes_become_nothing_else() {
        let _: [usize; 3] = from_byte_vec(vec![]);
    }
}
