//! The SPIFFE Workload API: certificates that are handed out, not asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use culvert_core::identity::{SpiffeId, TrustBundle};
use culvert_linux::node::{CredentialSource, Material};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use spiffe::{WorkloadApiClient, X509Context};
use tokio_stream::StreamExt;

use crate::fault::StartError;
use crate::runtime::Runtime;

/// How long a fetch waits for the first words of the Workload API.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to reach it.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What the Workload API says of whom to trust: every trust domain that it has a bundle of.
pub type Trusted = Arc<TrustBundle>;

#[derive(Debug, Default)]
struct Known {
    context: Option<X509Context>,
    /// Why there is none.
    fault: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    changed: Condvar,
}

/// A stream of certificates and bundles from a Workload API. It is followed until this is dropped.
#[derive(Debug)]
pub struct WorkloadApi {
    shared: Arc<Shared>,
    /// Ends the stream with its thread.
    _runtime: Runtime,
}

impl WorkloadApi {
    /// Begins to follow the Workload API at `endpoint`, `unix:///path` or `tcp://address:port`. `changed` is told, on another
    /// thread, whom to trust each time anything changes, certificates included: they are then there to be fetched.
    ///
    /// # Errors
    /// No thread for it can be had. One that cannot be reached is tried again.
    pub fn start(
        endpoint: &str,
        mut changed: impl FnMut(Trusted) + Send + 'static,
    ) -> Result<WorkloadApi, StartError> {
        let shared = Arc::<Shared>::default();
        let runtime = Runtime::start("culvert-spiffe")?;
        let (heard, endpoint) = (shared.clone(), endpoint.to_owned());
        runtime.spawn(async move {
            let mut wait = RETRY_MIN;
            loop {
                let fault = follow(&endpoint, &heard, &mut wait, &mut changed).await;
                heard.tell(|known| known.fault = Some(fault));
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        });
        Ok(WorkloadApi { shared, _runtime: runtime })
    }
}

impl Shared {
    fn tell(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// What was heard last, even if nothing can be heard now; waits for the first.
    fn context(&self) -> Result<X509Context, String> {
        let until = Instant::now() + PATIENCE;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(context) = &known.context {
                return Ok(context.clone());
            }
            if let Some(fault) = &known.fault {
                return Err(fault.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("the Workload API said nothing in time".to_owned());
            }
            let waited = self.changed.wait_timeout(known, left);
            known = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Follows one stream to its end, and says why it ended.
async fn follow(
    endpoint: &str,
    heard: &Shared,
    wait: &mut Duration,
    changed: &mut impl FnMut(Trusted),
) -> String {
    let connected = async {
        let client = WorkloadApiClient::connect_to(endpoint).await?;
        client.stream_x509_contexts().await
    };
    let mut stream = match connected.await {
        Ok(stream) => stream,
        Err(error) => return format!("the Workload API at {endpoint}: {error}"),
    };
    while let Some(next) = stream.next().await {
        match next {
            Ok(context) => {
                *wait = RETRY_MIN;
                match trusted(&context) {
                    Ok(bundle) => {
                        heard.tell(|known| (known.context, known.fault) = (Some(context), None));
                        changed(Arc::new(bundle));
                    }
                    // What was heard before stays.
                    Err(why) => heard.tell(|known| known.fault = Some(why)),
                }
            }
            Err(error) => return format!("the Workload API at {endpoint}: {error}"),
        }
    }
    format!("the Workload API at {endpoint} ended its stream")
}

/// The bundles of a context, each under its own trust domain.
fn trusted(context: &X509Context) -> Result<TrustBundle, String> {
    let mut all = TrustBundle::empty();
    for (domain, bundle) in context.bundle_set().iter() {
        let roots: Vec<&[u8]> = bundle.authorities().iter().map(spiffe::Certificate::as_bytes).collect();
        if !roots.is_empty() {
            all = all.with_roots(domain.as_str(), &roots).map_err(|error| error.to_string())?;
        }
    }
    Ok(all)
}

impl CredentialSource for WorkloadApi {
    fn fetch(&self, id: &SpiffeId) -> Result<Material, String> {
        let context = self.shared.context()?;
        let wanted = id.to_string();
        let svid = context.svids().iter().find(|svid| svid.spiffe_id().to_string() == wanted);
        let svid = svid.ok_or_else(|| format!("the Workload API has no certificate for {id}"))?;
        let der = |certificate: &spiffe::Certificate| CertificateDer::from(certificate.as_bytes().to_vec());
        let mut domains: BTreeMap<String, Vec<CertificateDer<'static>>> = BTreeMap::new();
        for (domain, bundle) in context.bundle_set().iter() {
            domains.insert(domain.as_str().to_owned(), bundle.authorities().iter().map(der).collect());
        }
        let roots = domains.remove(id.trust_domain());
        domains.retain(|_, roots| !roots.is_empty());
        Ok(Material {
            chain: svid.cert_chain().iter().map(der).collect(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.private_key().as_bytes().to_vec())),
            roots: roots.ok_or_else(|| format!("the Workload API has no bundle of {}", id.trust_domain()))?,
            federated: domains,
        })
    }
}
