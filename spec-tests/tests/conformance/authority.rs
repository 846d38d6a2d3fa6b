//! The target of a CONNECT.

use culvert_core::hbone::connect::Authority;

fn reads(text: &str) -> Option<String> {
    Authority::parse(text).ok().map(|authority| authority.to_string())
}

fn refused(texts: &[&str]) {
    for text in texts {
        assert_eq!(reads(text), None, "{text:?}");
    }
}

#[test]
fn each_target_has_one_canonical_form() {
    for (text, canonical) in [
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("255.255.255.255:65535", "255.255.255.255:65535"),
        ("[::1]:80", "[::1]:80"),
        ("[2001:DB8:0:0::1]:80", "[2001:db8::1]:80"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
        ("[0:0:0:0:0:FFFF:0a00:0001]:80", "10.0.0.1:80"),
        ("web:80", "web:80"),
        ("WEB.Shop.svc.Cluster.Local:80", "web.shop.svc.cluster.local:80"),
        ("a-b_c.d1:80", "a-b_c.d1:80"),
        ("1.2.3.4.example:80", "1.2.3.4.example:80"),
    ] {
        assert_eq!(reads(text).as_deref(), Some(canonical), "{text}");
    }
}

#[test]
fn a_port_is_there_and_decimal() {
    for host in ["10.0.0.1", "[::1]", "web.example"] {
        for port in [
            "",
            ":",
            ":0",
            ":00",
            ":080",
            ":65536",
            ":4294967376",
            ":-1",
            ":+80",
            ":8a",
            ":0x50",
            ": 80",
            ":80 ",
            ":80:80",
            ":８０",
        ] {
            refused(&[&format!("{host}{port}")]);
        }
    }
    refused(&["", ":", ":80"]);
}

#[test]
fn an_ipv4_address_has_four_plain_parts() {
    refused(&[
        "127.1:80",
        "127.0.1:80",
        "127.0.0.0.1:80",
        "2130706433:80",
        "0x7f000001:80",
        "0X7F.0.0.1:80",
        "0177.0.0.1:80",
        "127.0.0.01:80",
        "127.0.0.0x1:80",
        "127.0.0.256:80",
        "127.0.0.1.:80",
        "127..0.1:80",
        "0:80",
        "00:80",
        "web.1:80",
        "web.0x1f:80",
        "[127.0.0.1]:80",
    ]);
}

#[test]
fn an_ipv6_address_is_in_brackets_and_has_no_zone() {
    refused(&[
        "::1:80",
        "2001:db8::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[]:80",
        "[[::1]]:80",
        "[::1%lo]:80",
        "[fe80::1%25eth0]:80",
        "[fe80::1%1]:80",
        "[1::2::3]:80",
        "[12345::]:80",
        "[::1]x:80",
        "[v1.x]:80",
    ]);
}

#[test]
fn a_name_has_labels_of_few_characters() {
    let label = |length: usize| format!("{}.example:80", "a".repeat(length));
    let name = |length: usize| format!("{}:80", "a.".repeat(length / 2) + "b");
    assert!(reads(&label(63)).is_some() && reads(&label(64)).is_none());
    assert!(reads(&name(253)).is_some() && reads(&name(255)).is_none());
    refused(&[
        "web.:80",
        ".web:80",
        "web..shop:80",
        "*.web:80",
        "we%62:80",
        "wéb:80",
        "we b:80",
        "web\0:80",
        "web\r\n:80",
    ]);
}

#[test]
fn there_is_nothing_but_a_host_and_a_port() {
    refused(&[
        "user@10.0.0.1:80",
        "user:pw@10.0.0.1:80",
        "@10.0.0.1:80",
        "10.0.0.1:80@10.0.0.2:80",
        "10.0.0.1:80/",
        "10.0.0.1/x:80",
        "http://10.0.0.1:80",
        "//10.0.0.1:80",
        "10.0.0.1:80?x",
        "10.0.0.1:80#x",
        "10.0.0.1:80,10.0.0.2:80",
        "10.0.0.1:80 10.0.0.2:80",
        " 10.0.0.1:80",
        "10.0.0.1:80\n",
        "10.0.0.1\t:80",
        "unix:/run/x:80",
    ]);
}
