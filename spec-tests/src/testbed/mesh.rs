//! The facts of a test.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::mesh::{MeshFile, Snapshot};

/// A mesh file under construction. Every workload is in the namespace `default`, under a service account.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    workloads: String,
    services: String,
    policies: String,
}

impl Mesh {
    /// No facts.
    pub fn new() -> Mesh {
        Mesh::default()
    }

    /// Adds a workload that runs under the service account of its own name.
    #[must_use]
    pub fn workload(self, name: &str, ip: IpAddr) -> Mesh {
        self.workload_as(name, name, &[ip])
    }

    /// Adds a workload under some service account.
    #[must_use]
    pub fn workload_as(mut self, name: &str, service_account: &str, ips: &[IpAddr]) -> Mesh {
        let ips: Vec<String> = ips.iter().map(|ip| format!("\"{ip}\"")).collect();
        let ips = ips.join(", ");
        let _always = writeln!(
            self.workloads,
            "- {{uid: test//Pod/default/{name}, name: {name}, namespace: default, \
             serviceAccount: {service_account}, workloadIps: [{ips}], protocol: HBONE, node: here}}"
        );
        self
    }

    /// Adds a workload of these fields, as in a mesh file.
    #[must_use]
    pub fn workload_of(mut self, fields: &str) -> Mesh {
        let _always = writeln!(self.workloads, "- {{{fields}}}");
        self
    }

    /// Adds a service of these fields, as in a mesh file.
    #[must_use]
    pub fn service_of(mut self, fields: &str) -> Mesh {
        let _always = writeln!(self.services, "- {{{fields}}}");
        self
    }

    /// Adds a policy of the namespace that denies a service account.
    #[must_use]
    pub fn deny(mut self, name: &str, service_account: &str) -> Mesh {
        let _always = writeln!(
            self.policies,
            "- {{name: {name}, namespace: default, scope: Namespace, action: Deny, rules: \
             [[[{{principals: [{{Exact: cluster.local/ns/default/sa/{service_account}}}]}}]]]}}"
        );
        self
    }

    /// The text of the file.
    pub fn yaml(&self) -> String {
        let mut text = format!("workloads:\n{}", self.workloads);
        if !self.services.is_empty() {
            let _always = write!(text, "services:\n{}", self.services);
        }
        if !self.policies.is_empty() {
            let _always = write!(text, "policies:\n{}", self.policies);
        } else {
            text.push_str("policies: []\n");
        }
        text
    }

    /// The facts, read as a node reads them.
    ///
    /// # Panics
    /// The text is no mesh.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let yaml = self.yaml();
        let file: MeshFile = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        Arc::new(Snapshot::from_file(file).unwrap())
    }
}
