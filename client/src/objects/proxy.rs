//! The methods and traits that all proxies share.

/// Makes a type with a field `reference: Arc<Reference>` the proxy of a kind of object: it displays for debugging,
/// serializes, deserializes, opens through [`OpenOptions`](crate::OpenOptions), and can be removed. A type with a
/// parameter has a second field, `values`, a phantom of the values that go in and come out.
macro_rules! proxy {
    ($proxy:ident $(<$value:ident>)?, $kind:expr) => {
        impl$(<$value>)? $proxy$(<$value>)? {
            /// Removes the object for everyone: its name is free, a waiter fails with
            /// [`is_removed`](crate::Error::is_removed), and every later call on a proxy of it with
            /// [`is_no_such_object`](crate::Error::is_no_such_object).
            pub fn remove(&self) -> $crate::Result<()> {
                self.reference.remove()
            }

            fn id(&self) -> protocol::ObjectId {
                self.reference.id()
            }
        }

        impl$(<$value>)? $crate::objects::reference::Proxy for $proxy$(<$value>)? {
            const KIND: protocol::Kind = $kind;

            fn from_reference(reference: $crate::objects::reference::Reference) -> $crate::Result<Self> {
                Ok($proxy {
                    reference: std::sync::Arc::new(reference),
                    $(values: std::marker::PhantomData::<fn($value) -> $value>,)?
                })
            }
        }

        impl$(<$value>)? serde::Serialize for $proxy$(<$value>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                self.reference.serialize(serializer)
            }
        }

        impl<'de $(, $value)?> serde::Deserialize<'de> for $proxy$(<$value>)? {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> std::result::Result<Self, D::Error> {
                let reference = $crate::objects::reference::Reference::deserialize($kind, deserializer)?;
                Ok($proxy {
                    reference: std::sync::Arc::new(reference),
                    $(values: std::marker::PhantomData::<fn($value) -> $value>,)?
                })
            }
        }

        impl$(<$value>)? std::fmt::Debug for $proxy$(<$value>)? {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{}({})", stringify!($proxy), self.id().0)
            }
        }
    };
}

pub(crate) use proxy;
