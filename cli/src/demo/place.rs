//! Where the demo's programs run: four pods of the mesh on two nodes, and one machine outside it.

use culvert_core::identity::{SpiffeId, SpiffeIdError};

use crate::args::DEFAULT_TRUST_DOMAIN;

/// The namespace of the demo's pods.
pub const NAMESPACE: &str = "shop";

/// A pod of the demo, or the machine outside the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Node 1: the one client that `orders` allows.
    Frontend,
    /// Node 1.
    Cart,
    /// Node 2: allows only `frontend`.
    Orders,
    /// Node 2: refuses plaintext.
    Payments,
    /// On the nodes' network, unknown to the mesh.
    Outsider,
}

impl Place {
    /// Every place, in order.
    pub const ALL: [Place; 5] =
        [Place::Frontend, Place::Cart, Place::Orders, Place::Payments, Place::Outsider];

    /// The pod's name, which is its service account's too.
    pub fn name(self) -> &'static str {
        match self {
            Place::Frontend => "frontend",
            Place::Cart => "cart",
            Place::Orders => "orders",
            Place::Payments => "payments",
            Place::Outsider => "outsider",
        }
    }

    /// The name with its namespace, as reports show it.
    pub fn label(self) -> String {
        match self {
            Place::Outsider => self.name().to_owned(),
            _ => format!("{NAMESPACE}/{}", self.name()),
        }
    }

    /// Which node the pod is on, 1 or 2; `None` outside the mesh.
    pub fn node(self) -> Option<u8> {
        match self {
            Place::Frontend | Place::Cart => Some(1),
            Place::Orders | Place::Payments => Some(2),
            Place::Outsider => None,
        }
    }

    /// The pod's identity; `None` outside the mesh.
    ///
    /// # Errors
    ///
    /// None with the names above.
    pub fn identity(self) -> Result<Option<SpiffeId>, SpiffeIdError> {
        match self {
            Place::Outsider => Ok(None),
            _ => SpiffeId::new(DEFAULT_TRUST_DOMAIN, NAMESPACE, self.name()).map(Some),
        }
    }

    /// The pod's identity as reports show it; empty outside the mesh.
    pub fn identity_text(self) -> String {
        self.identity().ok().flatten().map(|id| id.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_have_identities_and_the_outsider_has_none() {
        for place in Place::ALL {
            let identity = place.identity().unwrap();
            assert_eq!(identity.is_some(), place.node().is_some());
            assert_eq!(place.identity_text().is_empty(), identity.is_none());
        }
        assert_eq!(Place::Cart.identity_text(), "spiffe://cluster.local/ns/shop/sa/cart");
        assert_eq!(Place::Cart.label(), "shop/cart");
    }
}
