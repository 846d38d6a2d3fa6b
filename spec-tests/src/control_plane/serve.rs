//! The sockets, the connections and the streams of a control plane.

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use culvert_proto::delta;
use culvert_proto::discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use culvert_proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::stream::{Stream, in_manner};
use super::{Opened, Received, Shared};

/// Serves until `stopped`; what is left of connections ends with the runtime.
pub(super) fn run(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let service = Service { shared, changes, streams: Arc::default() };
        let accepting = async {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let (acceptor, service) = (acceptor.clone(), service.clone());
                tokio::spawn(async move {
                    let server = http2::Builder::new(TokioExecutor::new());
                    let service = TowerToHyperService::new(AggregatedDiscoveryServiceServer::new(service));
                    match acceptor {
                        Some(acceptor) => {
                            let Ok(session) = acceptor.accept(socket).await else { return };
                            let _ended = server.serve_connection(TokioIo::new(session), service).await;
                        }
                        None => drop(server.serve_connection(TokioIo::new(socket), service).await),
                    }
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = stopped => {}
        }
    });
}

#[derive(Clone)]
struct Service {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    streams: Arc<AtomicUsize>,
}

type Answers = mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type DeltaAggregatedResourcesStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let text = |name: &str| {
            request.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let opened = Opened { authorization: text("authorization"), cluster_id: text("clusterid") };
        self.shared.opened.lock().unwrap().push(opened);
        let number = self.streams.fetch_add(1, Ordering::SeqCst);
        let (answers, outbox) = mpsc::channel(16);
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(status) = service.converse(number, request.into_inner(), &answers).await {
                let _gone = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outbox))))
    }
}

impl Service {
    /// Requests are served before news.
    async fn converse(
        mut self,
        number: usize,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        answers: &Answers,
    ) -> Result<(), Status> {
        let (mut stream, mut said, mut withheld) = (Stream::default(), 0, Vec::new());
        self.changes.mark_unchanged();
        loop {
            let responses = tokio::select! {
                biased;
                request = requests.message() => {
                    let Some(request) = request? else { return Ok(()) };
                    let responses = stream.request(&request, &self.shared.facts.lock().unwrap());
                    self.shared.received.lock().unwrap().push(Received { stream: number, request });
                    responses
                }
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    stream.push(&self.shared.facts.lock().unwrap())
                }
            };
            let manner = *self.shared.manner.lock().unwrap();
            withheld.extend(responses);
            let is_said = |response: &mut DeltaDiscoveryResponse| {
                manner.withhold.is_none_or(|of| response.type_url != delta::type_url(of))
            };
            let responses: Vec<_> = withheld.extract_if(.., is_said).collect();
            for response in responses.into_iter().flat_map(|response| in_manner(response, &manner)) {
                if !manner.delay.is_zero() {
                    tokio::time::sleep(manner.delay).await;
                }
                if answers.send(Ok(response)).await.is_err() {
                    return Ok(());
                }
                said += 1;
                if manner.recycle_after.is_some_and(|most| said >= most) {
                    return Err(Status::unknown("recycled"));
                }
            }
        }
    }
}
