use std::net::SocketAddr;

use quickcheck::{Arbitrary, Gen, QuickCheck};

use super::*;

fn authority(text: &str) -> Result<String, &'static str> {
    Authority::parse(text).map(|a| a.to_string()).map_err(|e| e.what)
}

#[test]
fn an_authority_has_one_spelling() {
    for (text, printed) in [
        ("1.2.3.4:80", "1.2.3.4:80"),
        ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
        ("[::ffff:a00:1]:80", "10.0.0.1:80"),
        ("[0:0:0:0:0:0:0:1]:65535", "[::1]:65535"),
        ("Reviews.Default.svc.cluster.local:9080", "reviews.default.svc.cluster.local:9080"),
        ("_sip._tcp.x1:1", "_sip._tcp.x1:1"),
    ] {
        assert_eq!(authority(text), Ok(printed.to_owned()), "{text}");
    }
}

#[test]
fn odd_authorities_are_refused() {
    let long = format!("{}:80", "a.".repeat(126) + "ab");
    let label = format!("{}:80", "a".repeat(64));
    for text in [
        "",
        ":",
        ":80",
        "host",
        "host:",
        "host:0",
        "host:00",
        "host:080",
        "host:+1",
        "host:65536",
        "host:99999999999",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3:80",
        "1.2.3.4.5:80",
        "127.1:80",
        "2130706433:80",
        "0x7f000001:80",
        "0177.0.0.1:80",
        "0x7f.0.0.1:80",
        "127.0.0.0x1:80",
        "1.2.3.4.:80",
        "1.2.3.256:80",
        "01.2.3.4:80",
        "0x:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[::1%eth0]:80",
        "[fe80::1%25eth0]:80",
        "[1.2.3.4]:80",
        "[]:80",
        "::1:80",
        "user@host:80",
        "user:pass@host:80",
        "a:80,b:80",
        "a:80:90",
        "a..b:80",
        ".a:80",
        "a.:80",
        "a/b:80",
        "a b:80",
        "bücher:80",
        "a\0:80",
        "a:8\n",
        "%61:80",
        "*:80",
        long.as_str(),
        label.as_str(),
    ] {
        assert!(authority(text).is_err(), "{text} was taken as {:?}", authority(text));
    }
}

#[test]
fn a_host_of_253_bytes_is_the_longest() {
    let longest = "a.".repeat(126) + "a";
    assert_eq!(longest.len(), MAX_HOST_BYTES);
    assert!(Authority::host(&longest, 1).is_ok());
    assert!(Authority::host(&format!("{longest}b"), 1).is_err());
    assert!(Authority::host("a", 0).is_err());
    assert!(Authority::host("10.0.0.1", 1).is_err());
}

#[test]
fn baggage_decodes_percent_signs_and_drops_properties() {
    let baggage = Baggage::parse("k8s.cluster.name=c1, service.name = a%20b;p=1 ,,k=%C3%BC,").unwrap();
    let pairs: Vec<_> = baggage.iter().collect();
    assert_eq!(pairs, [("k8s.cluster.name", "c1"), ("service.name", "a b"), ("k", "ü")]);
    assert_eq!(baggage.to_string(), "k8s.cluster.name=c1,service.name=a%20b,k=%C3%BC");
    for text in ["a", "=b", "a b=c", "a=%", "a=%4", "a=%zz", "a=%ff", "a=%0a", "a=%C2%85", "ü=1"] {
        assert!(Baggage::parse(text).is_err(), "{text}");
    }
}

#[test]
fn baggage_is_bounded() {
    let members = |n: usize| vec!["a=b"; n].join(",");
    assert!(Baggage::parse(&members(MAX_BAGGAGE_MEMBERS)).is_ok());
    assert!(Baggage::parse(&members(MAX_BAGGAGE_MEMBERS + 1)).is_err());
    for length in (0..=2 * MAX_BAGGAGE_BYTES).step_by(127).chain([8189, 8190, 8191]) {
        let text = format!("a={}", "x".repeat(length));
        assert_eq!(Baggage::parse(&text).is_ok(), text.len() <= MAX_BAGGAGE_BYTES);
    }
    let mut baggage = Baggage::default();
    assert!(!baggage.push("k", &"\u{20ac}".repeat(3000)));
    assert!(!baggage.push("k", "a\nb"));
    assert!(!baggage.push("k,", "a"));
    assert!(baggage.push("k", "a\u{20ac}"));
    assert_eq!(Baggage::parse(&baggage.to_string()), Ok(baggage));
}

#[test]
fn forwarded_reads_the_first_element() {
    let v4: SocketAddr = "10.0.0.1:4000".parse().unwrap();
    let v6: SocketAddr = "[2001:db8::1]:4000".parse().unwrap();
    for (text, client, host) in [
        ("for=\"10.0.0.1:4000\";host=A.b", Some(v4), Some("a.b")),
        ("For=\"[2001:db8::1]:4000\"", Some(v6), None),
        ("for=\"10.0.0.1:4\\000\";by=_x;proto=https, for=unknown", Some(v4), None),
        ("for=unknown;host=a", None, Some("a")),
        ("for=\"_gazonk\"", None, None),
        ("", None, None),
    ] {
        let expected = Forwarded { client, host: host.map(Into::into) };
        assert_eq!(Forwarded::parse(text), Ok(expected), "{text}");
    }
    let long = format!("by={}", "x".repeat(MAX_FORWARDED_BYTES));
    for text in [
        "for",
        "=a",
        "for=\"a",
        "for=a for=b",
        "for=a;for=b",
        "host=a;host=b",
        "host=\"a b\"",
        "host=",
        &long,
    ] {
        assert!(Forwarded::parse(text).is_err(), "{text}");
    }
}

#[test]
fn traceparent_is_strict() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(TraceParent::parse(good).unwrap().to_string(), good);
    assert!(TraceParent::parse(&format!("{}-later", good.replacen("00", "cc", 1))).is_ok());
    for length in 0..good.len() {
        assert!(TraceParent::parse(&good[..length]).is_err());
    }
    for text in [
        format!("{good}-"),
        format!("{good}0"),
        good.to_uppercase(),
        good.replacen("00", "ff", 1),
        good.replace('-', "_"),
        good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        good.replace("b7ad6b7169203331", &"0".repeat(16)),
        "é".repeat(28),
    ] {
        assert!(TraceParent::parse(&text).is_err(), "{text}");
    }
}

fn http_request(authority: &str, headers: &[(&'static str, &[u8])]) -> Request<()> {
    let mut request = Request::builder().method(Method::CONNECT).uri(authority).body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

#[test]
fn optional_headers_never_fail_a_request() {
    let junk: &[u8] = b"\xff\xfe";
    let headers: Vec<_> =
        ["baggage", "forwarded", "traceparent", "x-forwarded-network"].map(|name| (name, junk)).into();
    let (request, ignored) = ConnectRequest::from_http(&http_request("1.2.3.4:80", &headers));
    assert_eq!(request, Ok(ConnectRequest::new(Authority::parse("1.2.3.4:80").unwrap())));
    assert_eq!(ignored, 4);
}

#[test]
fn every_header_at_every_length_is_no_panic() {
    let samples: [(&str, &str); 4] = [
        ("baggage", "k8s.namespace.name=ns,service.name=%41"),
        ("forwarded", "for=\"10.0.0.1:4000\";host=a.b"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-forwarded-network", "network-1"),
    ];
    for (name, text) in samples {
        for length in 0..=2 * text.len() {
            let cut: String = text.chars().cycle().take(length).collect();
            for filler in [cut.clone(), "0".repeat(length), "\"".repeat(length), ",".repeat(length)] {
                let request = http_request("a:1", &[(name, filler.as_bytes())]);
                assert!(ConnectRequest::from_http(&request).0.is_ok());
            }
        }
    }
}

#[test]
fn what_is_no_connect_is_told() {
    let get = Request::builder().uri("http://a:1/").body(()).unwrap();
    assert_eq!(ConnectRequest::from_http(&get).0, Err(RequestFault::NotConnect));
    let bare = Request::builder().method(Method::CONNECT).uri("/").body(()).unwrap();
    assert_eq!(ConnectRequest::from_http(&bare).0, Err(RequestFault::NoAuthority));
    let two = http_request("a:1", &[("host", b"b:1")]);
    assert_eq!(ConnectRequest::from_http(&two).0, Err(RequestFault::HostMismatch));
    let same = http_request("a:1", &[("host", b"a:1")]);
    assert!(ConnectRequest::from_http(&same).0.is_ok());
    let portless = http_request("a", &[]);
    assert!(matches!(ConnectRequest::from_http(&portless).0, Err(RequestFault::Authority(_))));
}

#[test]
fn a_status_outside_200_to_599_is_not_written() {
    for status in [0, 99, 100, 199, 600, 999, 1000] {
        assert!(ConnectResponse::new(status).to_http().is_err(), "{status}");
    }
    assert!(ConnectResponse::new(503).to_http().is_ok());
}

fn name(g: &mut Gen) -> String {
    let alphabet: Vec<char> = "abcdefghijklmnopqrstuvwxyz0123456789-_".chars().collect();
    let label = |g: &mut Gen| {
        (0..1 + u8::arbitrary(g) % 8).map(|_| *g.choose(&alphabet).unwrap()).collect::<String>()
    };
    format!("{}.{}z", label(g), label(g))
}

fn address(g: &mut Gen) -> SocketAddr {
    SocketAddr::new(Arbitrary::arbitrary(g), 1 + u16::arbitrary(g) % 65535)
}

impl Arbitrary for ConnectRequest {
    fn arbitrary(g: &mut Gen) -> ConnectRequest {
        let authority = if bool::arbitrary(g) {
            Authority::ip(address(g))
        } else {
            Authority::host(&name(g), 1 + u16::arbitrary(g) % 65535).unwrap()
        };
        let mut request = ConnectRequest::new(authority);
        if bool::arbitrary(g) {
            let mut baggage = Baggage::default();
            for _ in 0..1 + u8::arbitrary(g) % 70 {
                baggage.push(&name(g), &String::arbitrary(g));
            }
            request.baggage = Some(baggage).filter(|b| b.iter().next().is_some());
        }
        let client = Option::<()>::arbitrary(g).map(|()| address(g));
        let host = Option::<()>::arbitrary(g).map(|()| name(g).into());
        request.forwarded = Option::<()>::arbitrary(g).map(|()| Forwarded { client, host });
        request.network = Option::<()>::arbitrary(g).map(|()| name(g).into());
        let bytes = |g: &mut Gen| std::array::from_fn(|_| u8::arbitrary(g) | 1);
        request.trace = Option::<()>::arbitrary(g).map(|()| TraceParent {
            trace: bytes(g),
            parent: bytes(g)[..8].try_into().unwrap(),
            flags: u8::arbitrary(g),
        });
        request
    }
}

#[test]
fn a_printed_request_reads_as_itself() {
    fn property(request: ConnectRequest) -> bool {
        let http = request.to_http().unwrap();
        ConnectRequest::from_http(&http) == (Ok(request.clone()), 0)
            && http.uri().scheme().is_none()
            && Authority::parse(&request.authority.to_string()) == Ok(request.authority)
    }
    QuickCheck::new().tests(500).quickcheck(property as fn(ConnectRequest) -> bool);
}

#[test]
fn any_text_is_parsed_or_refused() {
    fn property(text: String) -> bool {
        let authority = Authority::parse(&text);
        let printed = authority.as_ref().is_ok_and(|a| Authority::parse(&a.to_string()).as_ref() == Ok(a));
        let _ = (Baggage::parse(&text), Forwarded::parse(&text), TraceParent::parse(&text));
        authority.is_err() || printed
    }
    QuickCheck::new().tests(2000).quickcheck(property as fn(String) -> bool);
}
