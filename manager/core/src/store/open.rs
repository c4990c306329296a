//! Opening an object: by name or anonymous, new or existing, with the kind and parameters that the request asks for.

use alloc::format;

use protocol::{Code, Name, ObjectId, OpenMode, Refusal, Reply, SessionId, Spec, shortened};

use crate::State;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, is_same};
use crate::store::catalog::object_bytes;
use crate::store::memory::REFERENCE_BYTES;
use crate::store::slab::Key;

impl State {
    pub(crate) fn open(
        &mut self,
        session: SessionId,
        id: ObjectId,
        name: Option<&str>,
        spec: Spec,
        mode: OpenMode,
    ) -> Result<Reply, Refusal> {
        let name = name.map(Name::parse).transpose();
        let name = name.map_err(|error| Refusal::new(Code::BadName, format!("{error}")))?;
        let existing = name.as_ref().and_then(|name| self.catalog.key_of_name(name.as_str()));
        let (key, created) = match (existing, &name) {
            (Some(key), Some(name)) => (self.open_existing(key, name, spec, mode)?, false),
            (_, Some(name)) if mode == OpenMode::Open => {
                return Err(no_object_named(name.as_str()));
            }
            (_, None) if mode == OpenMode::Open => {
                return Err(Refusal::new(Code::BadArgument, "only an object with a name can be opened"));
            }
            _ => (self.make(id, name, spec)?, true),
        };
        if created && mode == OpenMode::CreateNew {
            Body::created_new(self, key, session);
        }
        let id = self.catalog.at(key).id;
        self.refer(session, key)?;
        Ok(Reply::Opened { id, created })
    }

    fn open_existing(&self, key: Key, name: &Name, spec: Spec, mode: OpenMode) -> Result<Key, Refusal> {
        let kind = self.catalog.at(key).body.kind();
        let shown = shortened(name.as_str());
        if mode == OpenMode::CreateNew {
            let text = format!(
                "an object named {shown:?} exists already, of kind {kind}; open it, or choose another name"
            );
            return Err(Refusal::new(Code::AlreadyExists, text));
        }
        match self.catalog.at(key).body.spec(self) {
            Some(found) if is_same(found, spec) => Ok(key),
            Some(found) if found.kind() == spec.kind() => {
                let text =
                    format!("{shown:?} is {found}, not {spec}; open it as it is, or choose another name");
                Err(Refusal::new(Code::WrongParameters, text))
            }
            _ => {
                let text = format!(
                    "the object named {shown:?} is of kind {kind}, not {}; objects of all kinds share their names, and \
                     keep them when nobody uses them any more: open it as what it is, or choose another name",
                    spec.kind()
                );
                Err(Refusal::new(Code::WrongKind, text))
            }
        }
    }

    /// Makes an object that nothing refers to yet.
    pub(crate) fn create(&mut self, id: ObjectId, name: Option<Name>, body: Body) -> Result<Key, Refusal> {
        self.check_room_for(1)?;
        let bytes = object_bytes(name.as_ref(), &body);
        // Its maker refers to it.
        self.check_memory(bytes + REFERENCE_BYTES)?;
        let key = self.catalog.insert(id, name, body).ok_or_else(|| {
            Refusal::new(Code::AlreadyExists, format!("an object with id {id} exists already"))
        })?;
        self.memory.charge(bytes);
        Ok(key)
    }

    /// Refuses if there is no room for this many more objects.
    pub(crate) fn check_room_for(&self, objects: usize) -> Result<(), Refusal> {
        let objects_max = self.limits.objects_max;
        if self.catalog.len() + objects > objects_max {
            let text = format!("the manager holds {} of at most {objects_max} objects", self.catalog.len());
            return Err(Refusal::new(Code::LimitReached, text));
        }
        Ok(())
    }
}

/// The refusal of a name that no object has.
pub(crate) fn no_object_named(name: &str) -> Refusal {
    Refusal::new(Code::NoSuchObject, format!("there is no object named {:?}", shortened(name)))
}
