//! The redirect in a real kernel.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use culvert_linux::lab::{self, Host, Lab, LabConfig};
use culvert_linux::netns::Netns;
use culvert_linux::redirect::{self, RedirectConfig};
use culvert_linux::socket::{
    self, DialOptions, EXEMPT_MARK, ListenOptions, Original, Transparent, original_destination,
};

use crate::sandbox::{accept, connect, isolated, ready};

/// Every option at once.
fn everything() -> RedirectConfig {
    RedirectConfig {
        dns: Some(15_053),
        virtual_interfaces: vec!["vnet0".to_owned(), "vnet1".to_owned()],
        ..RedirectConfig::default()
    }
}

fn loopback_up() {
    lab::loopback_up().unwrap();
}

isolated!(what_is_applied_is_what_is_shown, || {
    loopback_up();
    assert!(redirect::show().unwrap().is_empty());
    for config in [RedirectConfig::default(), everything()] {
        redirect::apply(&config).unwrap();
        let once = redirect::show().unwrap();
        assert_eq!(once, config.expected().unwrap(), "{once}");
        redirect::apply(&config).unwrap();
        assert_eq!(redirect::show().unwrap(), once);
    }
    redirect::remove().unwrap();
    assert!(redirect::show().unwrap().is_empty());
    redirect::remove().unwrap();
});

/// A pod with the redirect, and somebody on another node.
struct Scene {
    lab: Lab,
}

impl Scene {
    fn new(config: &RedirectConfig) -> Self {
        let lab = Lab::new(&LabConfig::uniform(2, 1, 0)).unwrap();
        redirect::apply_in(&lab.host("node1-pod1").unwrap().netns, config).unwrap();
        Self { lab }
    }

    fn pod(&self) -> &Host {
        self.lab.host("node1-pod1").unwrap()
    }

    fn other(&self) -> &Host {
        self.lab.host("node2-pod1").unwrap()
    }

    /// The two hosts' addresses by family: (pod, other).
    fn families(&self) -> [(IpAddr, IpAddr); 2] {
        let (pod, other) = (self.pod(), self.other());
        [(pod.v4.into(), other.v4.into()), (pod.v6.into(), other.v6.into())]
    }
}

fn listen(host: &Host, port: u16) -> TcpListener {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let required = ListenOptions { transparent: Transparent::Required, ..ListenOptions::default() };
    host.run(|| socket::listen(any, &required)).unwrap().unwrap()
}

fn dial(host: &Host, target: SocketAddr, options: &DialOptions) -> TcpStream {
    host.run(|| connect(target, options)).unwrap().unwrap()
}

fn exempt() -> DialOptions {
    DialOptions { mark: Some(EXEMPT_MARK), ..DialOptions::default() }
}

/// Both ends of one connection exchange a few bytes.
fn converse(mut a: &TcpStream, mut b: &TcpStream) {
    let mut got = [0; 4];
    a.write_all(b"ping").unwrap();
    b.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"ping");
    b.write_all(b"pong").unwrap();
    a.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"pong");
}

isolated!(what_the_pod_opens_is_captured_with_its_target, || {
    let scene = Scene::new(&RedirectConfig::default());
    let capture = listen(scene.pod(), 15_001);
    for (pod, other) in scene.families() {
        // Nobody listens there, and nobody has to.
        let target = SocketAddr::new(other, 8080);
        let client = dial(scene.pod(), target, &DialOptions::default());
        let (captured, peer) = accept(&capture);
        assert_eq!(original_destination(&captured).unwrap(), Original::Redirected(target));
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(peer.ip(), pod);
        converse(&client, &captured);
    }
});

isolated!(what_comes_to_the_pod_is_captured_with_its_target, || {
    let scene = Scene::new(&RedirectConfig::default());
    let (plain, tunnel) = (listen(scene.pod(), 15_006), listen(scene.pod(), 15_008));
    for (pod, other) in scene.families() {
        let target = SocketAddr::new(pod, 8080);
        let client = dial(scene.other(), target, &DialOptions::default());
        let (captured, peer) = accept(&plain);
        assert_eq!(original_destination(&captured).unwrap(), Original::Redirected(target));
        assert_eq!(peer.ip(), other);
        converse(&client, &captured);

        let to_tunnel = SocketAddr::new(pod, 15_008);
        let client = dial(scene.other(), to_tunnel, &DialOptions::default());
        let (direct, _) = accept(&tunnel);
        assert_eq!(original_destination(&direct).unwrap(), Original::Local(to_tunnel));
        converse(&client, &direct);
    }
});

isolated!(a_listener_dialled_directly_is_told_apart, || {
    let scene = Scene::new(&RedirectConfig::default());
    let (outbound, inbound) = (listen(scene.pod(), 15_001), listen(scene.pod(), 15_006));
    for (pod, _) in scene.families() {
        let own = SocketAddr::new(pod, 15_001);
        let _client = dial(scene.pod(), own, &DialOptions::default());
        assert_eq!(original_destination(accept(&outbound).0).unwrap(), Original::Local(own));
        let own = SocketAddr::new(pod, 15_006);
        let _client = dial(scene.other(), own, &DialOptions::default());
        assert_eq!(original_destination(accept(&inbound).0).unwrap(), Original::Local(own));
    }
});

isolated!(the_mark_exempts, || {
    let scene = Scene::new(&RedirectConfig::default());
    let capture = listen(scene.pod(), 15_001);
    let app = listen(scene.other(), 8080);
    for (pod, other) in scene.families() {
        let client = dial(scene.pod(), SocketAddr::new(other, 8080), &exempt());
        let (direct, peer) = accept(&app);
        assert_eq!(peer.ip(), pod);
        converse(&client, &direct);
    }
    assert!(socket::accept(&capture).unwrap().is_none());
});

isolated!(the_pod_talks_to_itself_without_us, || {
    let scene = Scene::new(&everything());
    let captures = [listen(scene.pod(), 15_001), listen(scene.pod(), 15_006)];
    let app = listen(scene.pod(), 8080);
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for own in scene.pod().addresses().into_iter().chain(loopback) {
        let client = dial(scene.pod(), SocketAddr::new(own, 8080), &DialOptions::default());
        let (direct, peer) = accept(&app);
        assert_eq!(peer.ip(), own);
        converse(&client, &direct);
    }
    assert!(captures.iter().all(|capture| socket::accept(capture).unwrap().is_none()));
});

isolated!(the_application_sees_the_clients_address_and_its_answers_come_back, || {
    let scene = Scene::new(&RedirectConfig::default());
    let app = listen(scene.pod(), 8080);
    let app_captured = listen(scene.pod(), 15_001);
    for (pod, other) in scene.families() {
        let options = DialOptions { source: Some(other), transparent: true, ..exempt() };
        let ours = dial(scene.pod(), SocketAddr::new(pod, 8080), &options);
        let (application, peer) = accept(&app);
        assert_eq!(peer.ip(), other);
        assert_eq!(peer, ours.local_addr().unwrap());
        converse(&ours, &application);
        converse(&application, &ours);
    }
    assert!(socket::accept(&app_captured).unwrap().is_none());
});

isolated!(probes_reach_the_application_and_so_do_connections_to_where_they_come_from, || {
    let scene = Scene::new(&RedirectConfig::default());
    let captures = [listen(scene.pod(), 15_001), listen(scene.pod(), 15_006)];
    let node = scene.lab.host("node1").unwrap();
    let probes: [IpAddr; 2] = [redirect::PROBE_V4.into(), redirect::PROBE_V6.into()];
    let (app, kubelet) = (listen(scene.pod(), 8080), listen(node, 10_250));
    for (probe, (pod, _)) in probes.into_iter().zip(scene.families()) {
        node.add_address(probe).unwrap();
        let options = DialOptions { source: Some(probe), ..DialOptions::default() };
        let client = dial(node, SocketAddr::new(pod, 8080), &options);
        let (direct, peer) = accept(&app);
        assert_eq!(peer.ip(), probe);
        converse(&client, &direct);
        let client = dial(scene.pod(), SocketAddr::new(probe, 10_250), &DialOptions::default());
        converse(&client, &accept(&kubelet).0);
    }
    assert!(captures.iter().all(|capture| socket::accept(capture).unwrap().is_none()));
});

isolated!(a_gateway_without_inbound_capture_is_reached_directly, || {
    let scene = Scene::new(&RedirectConfig { inbound: None, ..RedirectConfig::default() });
    let app = listen(scene.pod(), 8080);
    for (pod, other) in scene.families() {
        let client = dial(scene.other(), SocketAddr::new(pod, 8080), &DialOptions::default());
        let (direct, peer) = accept(&app);
        assert_eq!(peer.ip(), other);
        converse(&client, &direct);
    }
});

isolated!(what_comes_from_behind_a_virtual_interface_counts_as_opened_by_the_pod, || {
    let config = RedirectConfig { virtual_interfaces: vec!["eth0".to_owned()], ..RedirectConfig::default() };
    let scene = Scene::new(&config);
    let outbound = listen(scene.pod(), 15_001);
    for (pod, _) in scene.families() {
        let target = SocketAddr::new(pod, 443);
        let _client = dial(scene.other(), target, &DialOptions::default());
        assert_eq!(original_destination(accept(&outbound).0).unwrap(), Original::Redirected(target));
    }
});

isolated!(after_removal_nothing_is_captured, || {
    let scene = Scene::new(&everything());
    let pod = &scene.pod().netns;
    redirect::remove_in(pod).unwrap();
    assert!(redirect::show_in(pod).unwrap().is_empty());
    let capture = listen(scene.pod(), 15_001);
    let app = listen(scene.other(), 8080);
    for (_, other) in scene.families() {
        let client = dial(scene.pod(), SocketAddr::new(other, 8080), &DialOptions::default());
        converse(&client, &accept(&app).0);
    }
    assert!(socket::accept(&capture).unwrap().is_none());
});

isolated!(questions_are_captured_and_answered_from_where_they_were_sent, || {
    let scene = Scene::new(&everything());
    let tcp = listen(scene.pod(), 15_053);
    for (_, other) in scene.families() {
        let resolver = SocketAddr::new(other, 53);
        // Answers must come from the address that the redirect gave the question, so not from a wildcard socket.
        let v4 = other.is_ipv4();
        let (any, own) = if v4 { ("0.0.0.0:0", "127.0.0.1:15053") } else { ("[::]:0", "[::1]:15053") };
        let proxy = scene.pod().run(|| UdpSocket::bind(own).unwrap()).unwrap();
        let client = scene.pod().run(|| UdpSocket::bind(any).unwrap()).unwrap();
        client.connect(resolver).unwrap();
        client.send(b"question").unwrap();
        let mut buffer = [0; 64];
        assert!(ready(&proxy, libc::POLLIN), "the question does not arrive");
        let (length, asker) = proxy.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"question");
        proxy.send_to(b"answer", asker).unwrap();
        assert!(ready(&client, libc::POLLIN), "the answer does not come back");
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"answer");

        let _client = dial(scene.pod(), resolver, &DialOptions::default());
        assert_eq!(original_destination(accept(&tcp).0).unwrap(), Original::Redirected(resolver));
    }
});

isolated!(the_nodes_own_questions_go_out_and_their_answers_come_in, || {
    let scene = Scene::new(&everything());
    for (pod, other) in scene.families() {
        let resolver = scene.other().run(|| UdpSocket::bind((other, 53)).unwrap()).unwrap();
        let upstream = scene.pod().run(|| UdpSocket::bind((pod, 0)).unwrap()).unwrap();
        socket::set_mark(&upstream, EXEMPT_MARK).unwrap();
        upstream.send_to(b"question", (other, 53)).unwrap();
        let mut buffer = [0; 64];
        assert!(ready(&resolver, libc::POLLIN), "the question does not go out");
        let (_, asker) = resolver.recv_from(&mut buffer).unwrap();
        assert_eq!(asker, upstream.local_addr().unwrap());
        resolver.send_to(b"answer", asker).unwrap();
        assert!(ready(&upstream, libc::POLLIN), "the answer does not come in");
        let (length, from) = upstream.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"answer"[..], SocketAddr::new(other, 53)));
    }
});

isolated!(a_refused_table_leaves_the_earlier_one, || {
    loopback_up();
    redirect::apply(&RedirectConfig::default()).unwrap();
    let before = redirect::show().unwrap();
    let bad = RedirectConfig { virtual_interfaces: vec![String::new()], ..RedirectConfig::default() };
    assert!(redirect::apply(&bad).is_err());
    assert_eq!(redirect::show().unwrap(), before);
});

isolated!(a_pod_without_ipv6_is_redirected_for_ipv4, || {
    loopback_up();
    std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    let config = RedirectConfig::default();
    redirect::apply(&config).unwrap();
    redirect::apply(&config).unwrap();
    let (shown, expected) = (redirect::show().unwrap(), config.expected().unwrap());
    assert_eq!(shown.chains, expected.chains);
    assert!(shown.routing.iter().filter(|line| line.starts_with("ipv4")).count() == 2, "{shown}");
    assert!(!shown.routing.iter().any(|line| line.starts_with("ipv6 route")), "{shown}");
    redirect::remove().unwrap();
    assert!(redirect::show().unwrap().is_empty());
});

isolated!(namespaces_have_redirects_of_their_own, || {
    loopback_up();
    let other = Netns::create().unwrap();
    redirect::apply_in(&other, &everything()).unwrap_err();
    other.run(loopback_up).unwrap();
    redirect::apply_in(&other, &everything()).unwrap();
    assert!(redirect::show().unwrap().is_empty(), "another namespace's redirect is not ours");
    redirect::remove().unwrap();
    assert_eq!(redirect::show_in(&other).unwrap(), everything().expected().unwrap());
});
