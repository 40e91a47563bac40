use credential::Injection;

use super::*;

const TOKEN: &[u8] = b"sk-0123456789/+?";

fn secret(value: &[u8]) -> ObtainedSecret {
    ObtainedSecret {
        value: Zeroizing::new(value.to_vec()),
        username: None,
        version: 1,
    }
}

fn injected(injection: &Injection, target: &str, own: &[(&str, &str)]) -> (HeaderMap, String) {
    let injected = Injected::new(injection, &secret(TOKEN)).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in own {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let mut target: Uri = target.parse().unwrap();
    injected.put(&mut headers, &mut target).unwrap();
    (headers, target.to_string())
}

#[test]
fn each_way_puts_it_in_its_place_and_takes_out_what_the_client_wrote() {
    let own = [
        ("authorization", "Bearer own"),
        ("authorization", "Basic own"),
        ("x-api-key", "own"),
        ("x-goog-api-key", "own"),
        ("x_api_key", "own"),
        ("x_own", "own"),
        ("accept-encoding", "gzip"),
        ("grpc-accept-encoding", "gzip"),
        ("connect-accept-encoding", "gzip"),
        ("accept", "*/*"),
    ];
    let rows = [
        (
            Injection::Bearer,
            "authorization",
            "Bearer sk-0123456789/+?",
        ),
        (
            Injection::Header {
                name: "x-api-key".parse().unwrap(),
                prefix: String::new(),
            },
            "x-api-key",
            "sk-0123456789/+?",
        ),
        (
            Injection::Header {
                name: "x-own".parse().unwrap(),
                prefix: "Token ".into(),
            },
            "x-own",
            "Token sk-0123456789/+?",
        ),
        (
            Injection::Basic {
                username: Some("git".into()),
            },
            "authorization",
            "Basic Z2l0OnNrLTAxMjM0NTY3ODkvKz8=",
        ),
    ];
    for (injection, name, value) in rows {
        let (headers, target) = injected(&injection, "/a?b=1", &own);
        assert_eq!(headers[name], value);
        assert!(headers[name].is_sensitive() && !format!("{headers:?}").contains("0123"));
        let kept = usize::from(name != "x-own");
        assert_eq!(headers.len(), 3 + kept, "{headers:?}");
        assert_eq!(headers.contains_key("x_own"), kept == 1);
        assert_eq!(headers[ACCEPT_ENCODING], "identity");
        assert_eq!(target, "/a?b=1");
    }
}

#[test]
fn a_parameter_takes_the_place_of_every_spelling_of_its_name() {
    let injection = Injection::Query {
        parameter: "key".parse().unwrap(),
    };
    let secret = "key=sk-0123456789%2F%2B%3F";
    for (target, with) in [
        ("/a", format!("/a?{secret}")),
        ("/a?", format!("/a?{secret}")),
        ("/a?b=1&key=own&c=2", format!("/a?b=1&c=2&{secret}")),
        ("/a?k%65y=own&KEY=own&key", format!("/a?{secret}")),
        ("/a?key[]=own&keys=1", format!("/a?keys=1&{secret}")),
    ] {
        let (headers, put) = injected(&injection, target, &[("authorization", "own")]);
        assert_eq!(put, with);
        assert!(!headers.contains_key(AUTHORIZATION));
    }
}

#[test]
fn a_stand_in_takes_the_place_of_the_secret_and_a_target_without_room_is_refused() {
    let query = Injection::Query {
        parameter: "key".parse().unwrap(),
    };
    for injection in [Injection::Bearer, query.clone()] {
        let injected = Injected::new(&injection, &secret(TOKEN)).unwrap();
        let (mut headers, mut target) = (HeaderMap::new(), "/a?key=own".parse().unwrap());
        let put = injected.put_stand_in(&mut headers, &mut target).unwrap();
        let head = format!("{target} {:?}", headers.get(AUTHORIZATION));
        assert!(
            head.contains(put.stand_in()) && !head.contains("sk-0123"),
            "{head}"
        );
    }
    let injected = Injected::new(&query, &secret(TOKEN)).unwrap();
    let mut target: Uri = format!("/{}", "a".repeat(65_530)).parse().unwrap();
    let long = injected.put(&mut HeaderMap::new(), &mut target);
    assert_eq!(long, Err(InjectionError::Target));
}

#[test]
fn a_pair_needs_a_user_name() {
    let injection = Injection::Basic { username: None };
    let mut pair = secret(TOKEN);
    let without = Injected::new(&injection, &pair).unwrap_err();
    assert_eq!(without, InjectionError::NoUserName);
    pair.username = Some("bob".into());
    assert!(Injected::new(&injection, &pair).is_ok());
}

#[test]
fn what_would_break_a_request_is_refused() {
    let put = |value: &[u8]| Injected::new(&Injection::Bearer, &secret(value)).map(drop);
    for bad in [
        &b"sk-0123\r\nX: y"[..],
        b"sk 0123456789",
        b"sk-0123456789\0",
        b"*#!.,*#!.,",
        "schlüssel-lang".as_bytes(),
    ] {
        assert_eq!(put(bad), Err(InjectionError::Characters));
    }
    assert_eq!(put(b"short\n"), Err(InjectionError::TooShort));
    assert_eq!(put(b""), Err(InjectionError::TooShort));
    let long = vec![b'x'; LONGEST + 1];
    assert_eq!(put(&long), Err(InjectionError::TooLong));
    assert_eq!(put(b"sk-0123456789\n"), Ok(()));
}
