//! What is said of the ways to a control plane and to a certificate service alike.

use culvert_channel::Roots;

/// What stands for the operating system's own root certificates (`XDS_ROOT_CA`, `CA_ROOT_CA`, node.md 1.13).
pub(super) const SYSTEM: &str = "SYSTEM";

/// Who vouches for a server: `SYSTEM`, PEM text, or a file with such.
pub(super) fn roots(text: String) -> Roots {
    if text == SYSTEM {
        Roots::System
    } else if text.contains("-----BEGIN") {
        Roots::Pem(text)
    } else {
        Roots::File(text.into())
    }
}

/// A header of every request, as NAME=VALUE.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as x-team=mesh".to_owned()),
    }
}
