//! The folder of a socket: only its user can enter it, and nobody else can lead the path to it elsewhere.
//!
//! This checks every folder on the way before it follows any link: a user who may change a link, or replace a folder,
//! decides where clients end up. The links of a system, such as `/var/run` on many, are the exception: only root could
//! have made them, so root answers for them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::FolderError;

/// How many links to follow. More go in a circle.
const LINKS_MAX: usize = 40;

/// How many names to try for a folder, beside the usual one.
const OWN_FOLDERS_MAX: u32 = 100;

/// The bit by which only the owner of a file may remove it from a folder that others may write to.
const STICKY: u32 = 0o1000;

/// The folder of a socket.
pub(crate) fn folder_of(socket: &Path) -> &Path {
    match socket.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes the folder of this socket if it is missing, and checks that only this user can enter it, and that no other can
/// replace it.
pub(crate) fn prepare(socket: &Path, user: u32) -> Result<(), FolderError> {
    let folder = folder_of(socket);
    check_way(folder, user)?;
    let failed = |source| FolderError::Unusable { folder: folder.into(), source };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        // Examined in either case: what counts is what is there now.
        _ => {}
    }
    let metadata = fs::symlink_metadata(folder).map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    let instead = || instead_of(socket, mode, user);
    let folder = PathBuf::from(folder);
    if metadata.is_symlink() {
        Err(FolderError::IsLink { folder })
    } else if !metadata.is_dir() {
        Err(FolderError::IsNone { folder })
    } else if metadata.uid() != user {
        Err(FolderError::OfAnother { folder, owner: metadata.uid(), user, instead: instead() })
    } else if mode & 0o077 != 0 {
        let instead = if may_be_closed(&folder, mode) { None } else { Some(instead()) };
        Err(FolderError::OpenToOthers { folder, mode, instead })
    } else {
        Ok(())
    }
}

/// Checks everything that a path leads through except its last folder, which has stricter rules.
fn check_way(folder: &Path, user: u32) -> Result<(), FolderError> {
    let failed = |source| FolderError::Unusable { folder: folder.into(), source };
    let absolute = std::path::absolute(folder).map_err(failed)?;
    let mut rest: VecDeque<OsString> = components_of(&absolute);
    let mut way = PathBuf::from("/");
    let mut above = fs::symlink_metadata(&way).map_err(failed)?;
    // Whose root is everything. In a container that maps few users, that may be one without a number there.
    let root = above.uid();
    let mut links = 0;
    while let Some(next) = rest.pop_front() {
        check_not_open(&way, &above)?;
        if ![0, root, user].contains(&above.uid()) {
            return Err(FolderError::WayOfAnother { folder: way, owner: above.uid(), user });
        }
        if rest.is_empty() {
            return Ok(());
        }
        let path = way.join(next);
        let found = fs::symlink_metadata(&path).map_err(failed)?;
        if found.is_symlink() {
            links += 1;
            if links > LINKS_MAX || !is_of_the_system(&found, &above) {
                return Err(FolderError::IsLink { folder: path });
            }
            let target = fs::read_link(&path).map_err(failed)?;
            if target.is_absolute() {
                way = PathBuf::from("/");
                above = fs::symlink_metadata(&way).map_err(failed)?;
            }
            for component in components_of(&target).into_iter().rev() {
                rest.push_front(component);
            }
        } else if found.is_dir() {
            (way, above) = (path, found);
        } else {
            return Err(FolderError::IsNone { folder: path });
        }
    }
    Ok(())
}

/// What to enter one after the other. Parents stay as they are written, since the parent of a link's target is not that
/// of the link's name.
fn components_of(path: &Path) -> VecDeque<OsString> {
    let entered = path.components().filter(|component| !matches!(component, Component::RootDir));
    entered.map(|component| component.as_os_str().to_owned()).collect()
}

/// Whether a link is one of the system's: root's, in a folder of root's that all may enter and only root may change.
fn is_of_the_system(link: &Metadata, folder: &Metadata) -> bool {
    link.uid() == 0 && folder.uid() == 0 && folder.mode() & 0o023 == 0o001
}

/// Refuses a folder in which others may replace what is there. A group that root chose for its folder may do so, and so
/// may a group with the number of the user, who is its only member.
fn check_not_open(folder: &Path, metadata: &Metadata) -> Result<(), FolderError> {
    let mode = metadata.mode() & 0o7777;
    let is_group_trusted = metadata.uid() == 0 || metadata.gid() == metadata.uid();
    let is_open = mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_group_trusted);
    if is_open && mode & STICKY == 0 {
        return Err(FolderError::WayOpenToOthers { folder: folder.into(), mode });
    }
    Ok(())
}

/// Whether to advise closing a folder of the user's own to others. Not if others may need it: a shared one, one that
/// holds anything but what managers leave, and one that the user works in.
fn may_be_closed(folder: &Path, mode: u32) -> bool {
    let is_of_managers = |file: fs::DirEntry| {
        let name = file.file_name();
        let name = name.as_encoded_bytes();
        name.ends_with(b".lock") || file.file_type().is_ok_and(|kind| kind.is_socket())
    };
    let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
    if !files.all(is_of_managers) {
        return false;
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let in_use = [Some(PathBuf::from("/")), home, std::env::current_dir().ok()];
    let is_same = |other: PathBuf| {
        let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        identity(&other) == identity(folder)
    };
    mode & STICKY == 0 && !in_use.into_iter().flatten().any(is_same)
}

/// A socket like this one in a folder of the user's own, which `prepare` makes if it is missing.
pub(crate) fn instead_of(socket: &Path, mode: u32, user: u32) -> PathBuf {
    let name = socket.file_name().unwrap_or(OsStr::new("manager.sock"));
    // Anybody may make a folder in a shared one such as `/tmp`, which some systems do not have.
    let is_shared = mode & (STICKY | 0o002) == STICKY | 0o002;
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let candidates = [is_shared.then(|| folder_of(socket).into()), Some(PathBuf::from("/tmp")), home];
    let above = candidates.into_iter().flatten().find(|folder| folder.is_dir()).unwrap_or("/tmp".into());
    own_folder_in(&above, user).join(name)
}

/// A folder in this one for the sockets of this user: one that is missing, or is this user's and closed to others.
/// Others may have taken the first names, by accident or to annoy.
pub(crate) fn own_folder_in(above: &Path, user: u32) -> PathBuf {
    let usual = above.join(format!("rallypoint-{user}"));
    let others = (0..OWN_FOLDERS_MAX).map(|number| match number {
        0 => above.join(format!("rallypoint-{user}-own")),
        _ => above.join(format!("rallypoint-{user}-own-{number}")),
    });
    let would_do = |folder: &PathBuf| match fs::symlink_metadata(folder) {
        Ok(found) => found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let found = std::iter::once(usual.clone()).chain(others).find(would_do);
    found.unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    fn set_mode(folder: &Path, mode: u32) {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn user() -> u32 {
        sys::process::effective_user()
    }

    #[test]
    fn a_missing_folder_is_made_for_its_owner_alone() {
        let outer = folder();
        prepare(&outer.path().join("inner/m.sock"), user()).unwrap();
        assert_eq!(fs::metadata(outer.path().join("inner")).unwrap().mode() & 0o777, 0o700);
        let refused = prepare(&outer.path().join("not/there/m.sock"), user()).unwrap_err();
        assert!(matches!(refused, FolderError::Unusable { .. }), "{refused}");
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let outer = folder();
        for mode in [0o701, 0o710, 0o755, 0o777, 0o740] {
            set_mode(outer.path(), mode);
            let refused = prepare(&outer.path().join("m.sock"), user()).unwrap_err();
            assert!(matches!(refused, FolderError::OpenToOthers { mode: found, .. } if found == mode));
            let expected = format!("(mode {mode:04o}); run `chmod 700 {}`", outer.path().display());
            assert!(refused.to_string().contains(&expected), "{refused}");
        }
    }

    #[test]
    fn a_user_who_needs_a_folder_open_is_not_told_to_close_it() {
        let outer = folder();
        set_mode(outer.path(), 0o1777);
        let refused = prepare(&outer.path().join("m.sock"), user()).unwrap_err().to_string();
        let expected = format!("`--socket {}/rallypoint-{}/m.sock`", outer.path().display(), user());
        assert!(refused.contains("(mode 1777)") && refused.contains(&expected), "{refused}");
        assert!(!refused.contains("chmod"), "{refused}");

        set_mode(outer.path(), 0o755);
        fs::write(outer.path().join("m.sock.lock"), "").unwrap();
        assert!(may_be_closed(outer.path(), 0o755));
        fs::write(outer.path().join("index.html"), "").unwrap();
        assert!(!may_be_closed(outer.path(), 0o755));
        assert!(!may_be_closed(Path::new("/etc"), 0o755));
        let here = std::env::current_dir().unwrap();
        for needed in [Path::new("/"), here.as_path(), Path::new(".")] {
            assert!(!may_be_closed(needed, 0o755), "{}", needed.display());
        }
        let instead = PathBuf::from(format!("/tmp/rallypoint-{}/m.sock", user()));
        assert_eq!(instead_of(Path::new("/m.sock"), 0o755, user()), instead);
    }

    #[test]
    fn a_folder_that_somebody_else_made_is_not_advised() {
        let above = folder();
        let name = |rest: &str| above.path().join(format!("rallypoint-{}{rest}", user()));
        assert_eq!(own_folder_in(above.path(), user()), name(""));
        fs::write(name(""), "").unwrap();
        assert_eq!(own_folder_in(above.path(), user()), name("-own"));
        // One of this user that others may enter would be refused.
        fs::create_dir(name("-own")).unwrap();
        set_mode(&name("-own"), 0o755);
        assert_eq!(own_folder_in(above.path(), user()), name("-own-1"));
        fs::create_dir(name("-own-1")).unwrap();
        set_mode(&name("-own-1"), 0o700);
        assert_eq!(own_folder_in(above.path(), user()), name("-own-1"));
    }

    #[test]
    fn a_folder_on_the_way_of_a_third_user_is_refused() {
        let outer = folder();
        fs::create_dir(outer.path().join("way")).unwrap();
        let inside = outer.path().join("way/own/m.sock");
        // To another user, this one is a third.
        let refused = prepare(&inside, user() + 1).unwrap_err();
        if user() == 0 {
            // Everybody trusts root.
            assert!(matches!(refused, FolderError::OfAnother { .. }), "{refused}");
            std::os::unix::fs::chown(outer.path().join("way"), Some(65_533), None).unwrap();
            let refused = prepare(&inside, user()).unwrap_err();
            assert!(matches!(refused, FolderError::WayOfAnother { owner: 65_533, .. }), "{refused}");
            assert!(refused.to_string().contains("belongs to user 65533"), "{refused}");
        } else {
            assert!(
                matches!(refused, FolderError::WayOfAnother { owner, .. } if owner == user()),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let outer = folder();
        let refused = prepare(&outer.path().join("m.sock"), user() + 1).unwrap_err();
        assert!(matches!(refused, FolderError::OfAnother { owner, .. } if owner == user()), "{refused}");
    }

    #[test]
    fn a_link_anywhere_on_the_way_is_refused() {
        let outer = folder();
        let [real, link, dangling] = ["real", "link", "dangling"].map(|name| outer.path().join(name));
        fs::create_dir_all(real.join("own")).unwrap();
        set_mode(&real.join("own"), 0o700);
        set_mode(&real, 0o700);
        symlink(&real, &link).unwrap();
        symlink(outer.path().join("nowhere"), &dangling).unwrap();
        let cases = [("link", &link), ("link/own", &link), ("link/../real", &link), ("dangling", &dangling)];
        for (way, expected) in cases {
            match prepare(&outer.path().join(way).join("m.sock"), user()) {
                Err(FolderError::IsLink { folder }) => assert_eq!(folder, *expected, "{way}"),
                other => panic!("{way}: {other:?}"),
            }
        }
        prepare(&real.join("own/m.sock"), user()).unwrap();
        prepare(&real.join("own/../../real/m.sock"), user()).unwrap();
    }

    #[test]
    fn a_link_of_the_system_is_followed() {
        // Whatever system this is, one of these is likely to be its own.
        let Some(link) = ["/bin", "/lib", "/var/run", "/var/lock"].map(Path::new).into_iter().find(|path| {
            fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink() && found.uid() == 0)
        }) else {
            return;
        };
        check_way(&link.join("rallypoint"), user()).unwrap();
    }

    #[test]
    fn a_folder_on_the_way_that_others_may_change_is_refused() {
        let outer = folder();
        let middle = outer.path().join("middle");
        let socket = middle.join("own/m.sock");
        fs::create_dir(&middle).unwrap();
        for (mode, is_refused) in [(0o777, true), (0o707, true), (0o755, false), (0o1777, false)] {
            set_mode(&middle, mode);
            match prepare(&socket, user()) {
                Err(FolderError::WayOpenToOthers { folder, mode: found }) if is_refused => {
                    assert_eq!((folder, found), (middle.clone(), mode));
                }
                Ok(()) if !is_refused => {}
                other => panic!("{mode:o}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let outer = folder();
        let file = outer.path().join("file");
        fs::write(&file, "").unwrap();
        for way in ["file/m.sock", "file/own/m.sock"] {
            match prepare(&outer.path().join(way), user()) {
                Err(FolderError::IsNone { folder }) => assert_eq!(folder, file),
                other => panic!("{way}: {other:?}"),
            }
        }
    }
}
