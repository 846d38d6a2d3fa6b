//! What a CONNECT looks like, what is none, and what its headers may do.

use culvert_core::hbone::connect::{
    Authority, Baggage, ConnectRequest, ConnectResponse, Forwarded, RequestFault, TraceParent,
};
use culvert_core::hbone::mux::{Mux, MuxConfig, MuxEvent};

use crate::pair::{Pair, target};
use crate::wire::{
    END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, Lone, PREFACE, RST_STREAM, SETTINGS, connect, frames,
    headers,
};

const METHOD: (&str, &str) = (":method", "CONNECT");
const TARGET: (&str, &str) = (":authority", "10.0.0.1:80");
const PROTOCOL_ERROR: u32 = 1;

/// The request that a server tells of HEADERS with these fields.
fn told(fields: &[(&str, &str)]) -> Option<(Result<ConnectRequest, RequestFault>, u32)> {
    let mut server = Lone::server();
    server.feed(&headers(1, 0, fields));
    server.told.into_iter().find_map(|event| match event {
        MuxEvent::Request { request, ignored, .. } => Some((request, ignored)),
        _ => None,
    })
}

/// Which header fields a block has: entries of the static table by number, and literal names.
fn field_names(mut block: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let text = |block: &mut &[u8]| {
        let length = usize::from(block[0] & 0x7f);
        assert!(length < 0x7f);
        let (text, rest) = block[1..].split_at(length);
        *block = rest;
        text.to_vec()
    };
    while let Some(first) = block.first().copied() {
        let (is_indexed, index) = match first {
            0x80.. => (true, first & 0x7f),
            0x40..0x80 => (false, first & 0x3f),
            0x20..0x40 => panic!("a change of the table's size"),
            _ => (false, first & 0x0f),
        };
        assert!(index < 0x0f, "one byte is enough for the entries of interest");
        block = &block[1..];
        let literal = (index == 0).then(|| text(&mut block));
        names.push(literal.map_or(index.to_string(), |name| String::from_utf8_lossy(&name).into_owned()));
        if !is_indexed {
            text(&mut block);
        }
    }
    names
}

#[test]
fn our_connect_has_method_and_authority_and_leaves_the_stream_open() {
    let mut client = Lone::client();
    client.mux.connect(&target()).unwrap();
    client.feed(&[]);
    let sent: Vec<Frame> = client.frames().into_iter().filter(|frame| frame.kind == HEADERS).collect();
    let [connect] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((connect.stream, connect.flags), (1, END_HEADERS));
    // The static table of RFC 7541: 1 is :authority, 2 is :method.
    assert_eq!(field_names(&connect.payload), ["2", "1"]);
}

#[test]
fn a_malformed_request_is_reset_and_the_tunnel_goes_on() {
    let (path, scheme) = ((":path", "/"), (":scheme", "https"));
    for fields in [
        &[METHOD, TARGET, path][..],
        &[METHOD, TARGET, scheme],
        &[METHOD, TARGET, scheme, path],
        &[METHOD, TARGET, scheme, path, (":protocol", "connect-udp")],
        &[METHOD, TARGET, (":protocol", "websocket")],
        &[METHOD, TARGET, TARGET],
        &[METHOD, METHOD, TARGET],
        &[METHOD, TARGET, (":status", "200")],
        &[METHOD, TARGET, ("connection", "close")],
        &[METHOD, TARGET, ("transfer-encoding", "chunked")],
        &[METHOD, TARGET, ("upgrade", "h2c")],
        &[METHOD, ("x", "y"), TARGET],
        &[METHOD, (":authority", "a b:80")],
        &[TARGET],
    ] {
        let mut server = Lone::server();
        server.feed(&connect(1));
        server.feed(&headers(3, 0, fields));
        let resets: Vec<_> = server.frames().into_iter().filter(|frame| frame.kind == RST_STREAM).collect();
        let [reset] = resets.as_slice() else { panic!("{fields:?}: {resets:?}") };
        assert_eq!((reset.stream, reset.number(0)), (3, PROTOCOL_ERROR), "{fields:?}");
        assert_eq!(server.requests(), 1, "{fields:?}");
        server.feed(&connect(5));
        assert_eq!((server.requests(), server.mux.open_streams()), (2, 2), "{fields:?}");
    }
}

#[test]
fn a_request_at_fault_is_answered_400_and_the_tunnel_goes_on() {
    let get = [(":method", "GET"), (":scheme", "https"), (":path", "/"), TARGET];
    let post = [(":method", "POST"), (":scheme", "https"), (":path", "/"), TARGET];
    for fields in [
        &get[..],
        &post,
        &[METHOD],
        &[METHOD, (":authority", "10.0.0.1")],
        &[METHOD, (":authority", "10.0.0.1:0")],
        &[METHOD, (":authority", "127.1:80")],
        &[METHOD, (":authority", "u@10.0.0.1:80")],
        &[METHOD, (":authority", "[fe80::1%25x]:80")],
        &[METHOD, TARGET, ("host", "10.0.0.2:80")],
        &[METHOD, TARGET, ("host", "10.0.0.1")],
        &[METHOD, TARGET, ("host", "10.0.0.1:80"), ("host", "10.0.0.2:80")],
    ] {
        // A server may also take it for malformed, and then says so by a reset; it is never a request.
        match told(fields) {
            Some((request, _)) => assert_eq!(request.map_err(|fault| fault.status()), Err(400), "{fields:?}"),
            None => panic!("{fields:?}"),
        }
        let mut server = Lone::server();
        server.feed(&headers(1, 0, fields));
        let Some(MuxEvent::Request { stream, .. }) = server.told.pop() else { panic!("{fields:?}") };
        server.mux.respond(stream, &ConnectResponse::new(400), true).unwrap();
        server.feed(&connect(3));
        assert_eq!((server.requests(), server.mux.is_closed()), (1, false), "{fields:?}");
        let kinds: Vec<_> =
            server.frames().iter().filter(|f| f.stream == 1).map(|f| (f.kind, f.flags)).collect();
        assert!(kinds.contains(&(HEADERS, END_HEADERS | END_STREAM)), "{fields:?}: {kinds:?}");
    }
    let same = [METHOD, TARGET, ("host", "10.0.0.1:80")];
    assert!(told(&same).is_some_and(|(request, _)| request.is_ok()));
}

#[test]
fn no_header_changes_the_request() {
    let authority = Authority::parse("10.0.0.1:80").unwrap();
    let long = "x".repeat(120);
    for (name, value) in [
        ("forwarded", "for=\"10.9.9.9:1\";host=other.example"),
        ("forwarded", "for=10.9.9.9"),
        ("forwarded", "for=\"a\";for=\"b\""),
        ("baggage", "k8s.namespace.name=kube-system,service.name=admin"),
        ("baggage", "=,=,%"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("traceparent", "zz"),
        ("x-forwarded-network", "other"),
        ("x-forwarded-network", ""),
        ("x-forwarded-for", "10.9.9.9"),
        ("x-forwarded-host", "other.example"),
        ("x-envoy-original-dst-host", "10.9.9.9:1"),
        ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/x/sa/admin"),
        ("authorization", "Bearer x"),
        ("content-length", "5"),
        ("te", "trailers"),
        ("x-long", long.as_str()),
    ] {
        let Some((Ok(request), _)) = told(&[METHOD, TARGET, (name, value)]) else {
            panic!("{name}: {value}")
        };
        assert_eq!(request.authority, authority, "{name}: {value}");
    }
}

#[test]
fn headers_that_cannot_be_read_are_counted_and_ignored() {
    for (name, value, is_read) in [
        ("baggage", "a=b,c=%C3%BC", true),
        ("baggage", "a b=c", false),
        ("baggage", "a=%0a", false),
        ("baggage", "a", false),
        ("forwarded", "for=\"10.0.0.9:1\"", true),
        ("forwarded", "host=a;host=b", false),
        ("forwarded", "host=\"a b\"", false),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true),
        ("traceparent", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-00", false),
        ("traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-00", false),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
        ("x-forwarded-network", "net-1", true),
        ("x-forwarded-network", "net 1", false),
        ("x-forwarded-network", &"n".repeat(64), false),
    ] {
        let Some((Ok(request), ignored)) = told(&[METHOD, TARGET, (name, value)]) else { panic!("{name}") };
        let known = [
            request.baggage.is_some(),
            request.forwarded.is_some(),
            request.trace.is_some(),
            request.network.is_some(),
        ];
        assert_eq!(known.contains(&true), is_read, "{name}: {value}");
        assert_eq!(ignored, u32::from(!is_read), "{name}: {value}");
    }
}

#[test]
fn what_a_client_tells_arrives_as_it_was_said() {
    let mut request = target();
    let mut baggage = Baggage::default();
    for (key, value) in
        [("k8s.namespace.name", "shop"), ("service.name", "a b,c;d=\"e\"%"), ("cloud.region", "ü")]
    {
        assert!(baggage.push(key, value));
    }
    assert!(!baggage.push("service.version", "1\n2"), "a line break is never sent");
    request.baggage = Some(baggage);
    request.forwarded = Some(Forwarded {
        client: Some("[2001:db8::1]:4000".parse().unwrap()),
        host: Some("web.shop".into()),
    });
    request.network = Some("west".into());
    request.trace = Some(TraceParent { trace: [7; 16], parent: [9; 8], flags: 0 });
    let mut pair = Pair::new();
    pair.client.mux.connect(&request).unwrap();
    pair.settle();
    let arrived = pair.server.told.iter().find_map(|event| match event {
        MuxEvent::Request { request, ignored, .. } => Some((request.clone(), *ignored)),
        _ => None,
    });
    assert_eq!(arrived, Some((Ok(request), 0)));
}

#[test]
fn forwarded_and_baggage_have_their_form() {
    let forwarded =
        Forwarded { client: Some("10.0.0.1:4000".parse().unwrap()), host: Some("web.shop".into()) };
    assert_eq!(forwarded.to_string(), "for=\"10.0.0.1:4000\";host=web.shop");
    let mut baggage = Baggage::default();
    assert!(baggage.push("k8s.namespace.name", "shop") && baggage.push("service.name", "a,b"));
    assert_eq!(baggage.to_string(), "k8s.namespace.name=shop,service.name=a%2Cb");
    let trace = TraceParent { trace: [1; 16], parent: [2; 8], flags: 0 };
    assert_eq!(trace.to_string(), format!("00-{}-{}-00", "01".repeat(16), "02".repeat(8)));
}

#[test]
fn a_client_begins_with_preface_and_settings() {
    let mut client = Lone::new(Mux::client(&MuxConfig::default()));
    client.feed(&[]);
    let rest = client.written.strip_prefix(PREFACE).unwrap();
    assert_eq!(frames(rest)[0].kind, SETTINGS);
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", &[0; 64]] {
        let mut server = Lone::new(Mux::server(&MuxConfig::default()));
        server.feed(junk);
        server.mux.receive_end(true);
        server.feed(&[]);
        assert!(matches!(server.told.last(), Some(MuxEvent::Closed(_))), "{:?}", server.told);
    }
}

#[test]
fn a_name_that_http2_has_not_is_no_request() {
    for field in [(":other", "x"), ("Upper", "x"), ("a b", "x"), ("", "x")] {
        let mut server = Lone::server();
        server.feed(&connect(1));
        server.feed(&headers(3, 0, &[METHOD, TARGET, field]));
        assert_eq!(server.requests(), 1, "{field:?}");
        let goaway = server.frames().into_iter().find(|frame| frame.kind == GOAWAY);
        assert_eq!(goaway.map(|frame| frame.number(4)), Some(PROTOCOL_ERROR), "{field:?}");
    }
}
