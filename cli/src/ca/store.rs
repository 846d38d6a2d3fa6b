//! The CA's directory: read whole, and made by exactly one of the processes that start at once.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::CaError;
use crate::atomic_file;

/// The private key, PKCS#8 in PEM.
pub(super) const KEY: &str = "ca.key";
/// The root certificate in PEM. It is written last: where it is, the CA is complete.
pub(super) const ROOT: &str = "ca.crt";
/// The trust domain, one line.
pub(super) const TRUST_DOMAIN: &str = "trust-domain";
/// Locked while a CA is made.
const LOCK: &str = ".lock";

/// The contents of a CA's directory.
pub(super) struct Files {
    pub(super) key_pem: String,
    pub(super) root_pem: String,
    pub(super) trust_domain: String,
}

/// Reads the CA in `dir`; `None` if there is none.
pub(super) fn open(dir: &Path) -> Result<Option<Files>, CaError> {
    let Some(root_pem) = read(dir, ROOT)? else { return Ok(None) };
    let missing = |name: &str| CaError::Damaged { path: dir.join(name), what: "it is missing" };
    let key_pem = read(dir, KEY)?.ok_or_else(|| missing(KEY))?;
    let trust_domain = read(dir, TRUST_DOMAIN)?.ok_or_else(|| missing(TRUST_DOMAIN))?;
    let key = dir.join(KEY);
    let metadata = fs::metadata(&key).map_err(failed("read", &key))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CaError::Exposed { path: key, mode });
    }
    Ok(Some(Files { key_pem, root_pem, trust_domain }))
}

/// Reads the CA in `dir`, or writes what `make` returns if there is none.
pub(super) fn open_or_init(
    dir: &Path,
    make: impl FnOnce() -> Result<Files, CaError>,
) -> Result<Files, CaError> {
    if let Some(files) = open(dir)? {
        return Ok(files);
    }
    atomic_file::private_dir(dir).map_err(failed("make", dir))?;
    // Held until this function returns; the kernel gives it back when a process dies.
    let _lock = lock(dir)?;
    if let Some(files) = open(dir)? {
        return Ok(files);
    }
    let files = make()?;
    write(dir, TRUST_DOMAIN, &files.trust_domain, atomic_file::PUBLIC)?;
    write(dir, KEY, &files.key_pem, atomic_file::PRIVATE)?;
    write(dir, ROOT, &files.root_pem, atomic_file::PUBLIC)?;
    Ok(files)
}

fn lock(dir: &Path) -> Result<File, CaError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(atomic_file::PRIVATE)
        .open(&path)
        .map_err(failed("make", &path))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

fn read(dir: &Path, name: &str) -> Result<Option<String>, CaError> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

fn write(dir: &Path, name: &str, content: &str, mode: u32) -> Result<(), CaError> {
    let path = dir.join(name);
    atomic_file::write(&path, content.as_bytes(), mode).map_err(failed("write", &path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CaError {
    move |source| CaError::File { action, path: path.into(), source }
}
