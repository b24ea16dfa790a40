//! The proxy, asked by real connections.
//!
//! Invariant: hosts are listeners on the loopback, which a pattern has to name.

use tokio::io::AsyncBufReadExt;

use super::*;

/// A host that answers each connection with what it was told, and `bytes` letters.
async fn host(bytes: usize) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut reader = tokio::io::BufReader::new(&mut client);
                let mut line = String::new();
                let mut heard = String::new();
                while reader.read_line(&mut line).await.unwrap() > 2 {
                    heard.push_str(line.trim_end());
                    heard.push('|');
                    line.clear();
                }
                let text = format!("{heard}{}", "x".repeat(bytes));
                client.write_all(text.as_bytes()).await.unwrap();
            });
        }
    });
    port
}

async fn proxy(allowed: &[&str]) -> (Proxy, u16) {
    proxy_behind(allowed, Upstream::default()).await
}

async fn ask(port: u16, request: &str) -> String {
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn visit(place: &str, blocked: Option<Blocked>, received: u64) -> Visit {
    Visit { place: Place::parse(place, None).unwrap(), blocked, received }
}

#[tokio::test]
async fn what_is_allowed_is_reached_and_counted_once() {
    let server = host(10).await;
    let here = format!("127.0.0.1:{server}");
    let (proxy, port) = proxy(&[&here]).await;
    let tunnel = format!("CONNECT {here} HTTP/1.1\r\n\r\nhello\r\n\r\n");
    let said = ask(port, &tunnel).await;
    assert_eq!(said, "HTTP/1.1 200 Connection established\r\n\r\nhello|xxxxxxxxxx");
    let get = format!("GET http://{here}/x HTTP/1.1\r\nHost: evil.example\r\n\r\nGET / HTTP/1.1");
    let said = ask(port, &get).await;
    assert_eq!(said, format!("GET /x HTTP/1.1|Host: {here}|Connection: close|xxxxxxxxxx"));
    let received = 16 + u64::try_from(said.len()).unwrap();
    // A connection is counted when both of its sides have ended.
    let mut counted = 0;
    while counted < received {
        for Visit { place, blocked, received } in proxy.take_visits() {
            assert_eq!((place.to_string(), blocked), (here.clone(), None));
            counted += received;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(counted, received);
    assert_eq!(proxy.take_visits(), []);
    assert!(proxy.is_serving());
}

#[tokio::test]
async fn x10_x17_what_is_not_allowed_is_refused_with_the_reason() {
    let (proxy, port) = proxy(&["good.example", "*.good.example"]).await;
    for (asked, place) in [
        ("CONNECT evil.example:443", "evil.example:443"),
        ("CONNECT good.example:22", "good.example:22"),
        ("GET http://good.example.evil.example/", "good.example.evil.example:80"),
        ("CONNECT [::1]:443", "[::1]:443"),
        ("GET http://169.254.169.254/latest/meta-data/", "169.254.169.254:80"),
    ] {
        let said = ask(port, &format!("{asked} HTTP/1.1\r\nHost: good.example\r\n\r\n")).await;
        let why =
            format!("git-agent: {place} is not among the hosts that this session may reach\n");
        assert!(said.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{said}");
        assert!(said.ends_with(&why), "{said}");
        assert_eq!(proxy.take_visits(), [visit(place, Some(Blocked::NotAllowed), 0)]);
    }
}

#[tokio::test]
async fn x10_what_leads_to_this_machine_is_refused_whatever_it_is_called() {
    let server = host(0).await;
    let by_name = format!("localhost:{server}");
    let (proxy, port) = proxy(&[&by_name]).await;
    let said = ask(port, &format!("CONNECT {by_name} HTTP/1.1\r\n\r\n")).await;
    assert!(said.contains("which is not in the internet"), "{said}");
    let visits = proxy.take_visits();
    assert!(matches!(visits[0].blocked, Some(Blocked::Private(at)) if at.is_loopback()));
    // A pattern with the very addresses says that it is meant.
    for address in ["127.0.0.1", "[::1]"] {
        proxy.allow(format!("{address}:{server}").parse().unwrap());
    }
    let said = ask(port, &format!("CONNECT {by_name} HTTP/1.1\r\n\r\n\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

#[tokio::test]
async fn x10_odd_spellings_reach_nothing() {
    let server = host(0).await;
    let here = format!("127.0.0.1:{server}");
    let (proxy, port) = proxy(&[&here, "good.example"]).await;
    for odd in [
        format!("CONNECT 127.1:{server}"),
        format!("CONNECT 2130706433:{server}"),
        format!("CONNECT 0x7f.0.0.1:{server}"),
        format!("CONNECT 0177.0.0.1:{server}"),
        format!("CONNECT good.example@127.0.0.1:{server}"),
        format!("GET http://good.example@127.0.0.1:{server}/"),
        format!("GET http://127.0.0.1:{server}\\@good.example/"),
        format!("GET http://good.example:80@127.0.0.1:{server}/"),
        format!("GET //127.0.0.1:{server}/"),
        "GET http://good.example%00.evil.example/".to_owned(),
        "GET http://ｇood.example/".to_owned(),
    ] {
        let said = ask(port, &format!("{odd} HTTP/1.1\r\n\r\n")).await;
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{odd}: {said}");
    }
    assert_eq!(proxy.take_visits(), []);
    // Only the one address, however it is written.
    let mapped = format!("CONNECT [::ffff:7f00:1]:{server} HTTP/1.1\r\n\r\n\r\n\r\n");
    assert!(ask(port, &mapped).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_host_that_is_not_there_is_said_and_a_head_without_end_is_refused() {
    let (proxy, port) = proxy(&["nowhere.invalid", "127.0.0.1:1"]).await;
    let said = ask(port, "CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{said}");
    let said = ask(port, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{said}");
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // The proxy may hang up before all of it is sent.
    drop(client.write_all(&vec![b'x'; LONGEST + 2]).await);
    let mut answer = Vec::new();
    drop(client.read_to_end(&mut answer).await);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    assert!(proxy.is_serving());
}

/// A proxy of the user's: says to each what it was asked for, and goes on as it is told.
async fn upstream(status: &'static str) -> Upstream {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (head, _) = read_head(&mut client).await.unwrap();
            let heard = String::from_utf8(head).unwrap().replace("\r\n", "|");
            let text = format!("HTTP/1.1 {status}\r\n\r\n{heard}");
            client.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let env = [("all_proxy", format!("http://ada:x@127.0.0.1:{port}")), ("no_proxy", "own".into())];
    Upstream::of(&env.map(|(key, value)| (key.into(), value.into())))
}

async fn proxy_behind(allowed: &[&str], upstream: Upstream) -> (Proxy, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
    (Proxy::serve(listener, allowed, upstream), port)
}

#[tokio::test]
async fn one_that_has_ended_says_so() {
    let (proxy, _) = proxy(&[]).await;
    proxy.serving.abort();
    while proxy.is_serving() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn behind_a_proxy_of_the_users_all_goes_through_that() {
    let allowed = ["nowhere.invalid", "localhost:1"];
    let (proxy, port) = proxy_behind(&allowed, upstream("200 OK").await).await;
    let said = ask(port, "CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n").await;
    let wanted = "HTTP/1.1 200 Connection established\r\n\r\n\
                  CONNECT nowhere.invalid:443 HTTP/1.1|Host: nowhere.invalid:443|\
                  Proxy-Authorization: Basic YWRhOng=||";
    assert_eq!(said, wanted);
    let said = ask(port, "GET http://nowhere.invalid/x HTTP/1.1\r\n\r\n").await;
    let wanted = "HTTP/1.1 200 OK\r\n\r\nGET http://nowhere.invalid/x HTTP/1.1|\
                  Proxy-Authorization: Basic YWRhOng=|Host: nowhere.invalid|Connection: close||";
    assert_eq!(said, wanted);
    // What may not be reached may not be reached through it either.
    let said = ask(port, "CONNECT evil.example:443 HTTP/1.1\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 403 "), "{said}");
    let said = ask(port, "CONNECT localhost:1 HTTP/1.1\r\n\r\n").await;
    assert!(said.contains("which is not in the internet"), "{said}");
    assert!(proxy.is_serving());
}

#[tokio::test]
async fn a_proxy_of_the_users_that_refuses_or_is_of_another_kind_is_said() {
    let upstream = upstream("407 Proxy Authentication Required").await;
    let (_proxy, port) = proxy_behind(&["nowhere.invalid"], upstream).await;
    let said = ask(port, "CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{said}");
    assert!(said.contains("it said \"HTTP/1.1 407 Proxy Authentication Required\""), "{said}");
    let socks = [("ALL_PROXY".into(), "socks5://127.0.0.1:1".into())];
    let (_proxy, port) = proxy_behind(&["nowhere.invalid"], Upstream::of(&socks)).await;
    let said = ask(port, "CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 502 "), "{said}");
    assert!(said.contains("ALL_PROXY names a proxy of another kind (socks5)"), "{said}");
}

#[tokio::test]
async fn a_proxy_that_is_dropped_serves_no_more() {
    let (proxy, port) = proxy(&[]).await;
    drop(proxy);
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
