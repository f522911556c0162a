//! Syntax and targets of addresses. No test resolves a name: hosts are addresses or names of this machine.

use super::*;

async fn refusal(text: &str) -> String {
    match super::super::judge(text, &Guard::default()).await {
        Err(refused @ Unreached::Refused(_)) => refused.to_string(),
        other => panic!("{text:?}: {other:?}"),
    }
}

#[tokio::test]
async fn inner_addresses_are_refused_in_every_spelling() {
    for text in [
        "http://127.0.0.1/",
        "https://127.0.0.1:8443/x",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://０x7f.1/",
        "http://①②⑦.0.0.1/",
        "http://127。0。0。1/",
        "http://%31%32%37.0.0.1/",
        "http://127.0.0.1./",
        "http://0/",
        "http://0.0.0.0:80/",
        "http://017700000001/",
        "http://localhost/",
        "http://localhost./",
        "http://LOCALHOST:9/",
        "http://db.localhost/",
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://10.0.0.1/",
        "http://172.16.3.4/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:102:304:0:fbff:80ff:fffe]/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://[ff02::1]/",
        "http:\\\\127.0.0.1\\x",
        "http:127.0.0.1",
    ] {
        let refused = refusal(text).await;
        assert!(refused.starts_with("PLUE-R0002: "), "{text}: {refused}");
    }
}

#[tokio::test]
async fn invalid_addresses_are_refused_without_resolution() {
    for text in [
        "ftp://host.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/_x",
        "unix:/run/docker.sock",
        "javascript:alert(1)",
        "data:text/plain,x",
        "",
        "/hook",
        "host.example/hook",
        "http://",
        "https://user@host.example/",
        "https://user:word@host.example/",
        "https://:word@host.example/",
        "https://host.example@127.0.0.1/",
        "https://host.example/\r\nx-admin: 1",
        "https://ho\nst.example/",
        "https://host.example/\t",
        "\u{0}https://host.example/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://host.example:99999/",
    ] {
        let refused = refusal(text).await;
        assert!(refused.starts_with("PLUE-R0003: "), "{text:?}: {refused}");
    }
    let long = format!("https://host.example/{}", "a".repeat(MAX_CHARS));
    assert!(refusal(&long).await.contains("more than"));
}

#[tokio::test]
async fn public_and_excepted_addresses_are_permitted() {
    for text in ["https://1.1.1.1/", "http://1.1.1.1:25/x?y=z#f", "https://[2606:4700::1111]/"] {
        let target = super::super::judge(text, &Guard::default()).await.unwrap();
        assert_eq!(target.addresses(&Guard::default()).await.unwrap().len(), 1, "{text}");
    }
    let guard = Guard::parse(&["127.0.0.1:8080", "localhost"]).unwrap();
    for text in ["http://127.0.0.1:8080/", "http://2130706433:8080/", "http://localhost./"] {
        super::super::judge(text, &guard).await.unwrap();
    }
    assert!(super::super::judge("http://127.0.0.1:8081/", &guard).await.is_err());
}

#[test]
fn redirects_are_parsed_as_strictly() {
    let from = Target::parse("https://host.example/a/b").unwrap();
    assert_eq!(from.join("../c").unwrap().url().as_str(), "https://host.example/c");
    assert_eq!(from.join("//other.example/x").unwrap().host(), "other.example");
    for location in ["ftp://host.example/", "https://a:b@host.example/", "/x\r\ny", "http://[/"] {
        assert!(from.join(location).is_err(), "{location:?}");
    }
}
