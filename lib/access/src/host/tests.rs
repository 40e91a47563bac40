use super::*;

#[test]
fn text_that_is_more_or_less_than_a_host_is_refused() {
    for bad in [
        "",
        ".",
        "*",
        "*.example.com",
        "a..b",
        "-a.com",
        "a-.com",
        "http://a.com",
        "a.com/x",
        "a.com:443",
        "u@a.com",
        "a com",
        "1.2.3",
        "1.2.3.4.5",
        "0x7f.1",
        "127.0.0.01",
        "256.1.1.1",
        "2130706433",
        "ü.com",
        &format!("{}.com", "a".repeat(64)),
        "1.2.3.4.",
        "0.0.0.0",
        "::",
        "::ffff:0.0.0.0",
        "[::1]",
        "fe80::1%eth0",
        "a.com\0",
        "a。com",
        "10.0.0.0/0",
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/32",
        "::/128",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0/8",
        "10.0.0.0/",
        "10.0.0.0/8 ",
        "example.com/8",
        "::/1",
        "::/80",
        "::ffff:0:0/90",
        "::ffff:0:0/96",
        &"a.".repeat(128),
    ] {
        assert!(bad.parse::<Host>().is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn the_longest_name_of_dns_is_accepted() {
    // 255 bytes on the wire are 253 characters of text (RFC 1035, 2.3.4).
    let longest = "a.".repeat(127);
    assert_eq!(
        longest.parse::<DnsName>().unwrap().as_str().len(),
        253,
        "the final dot does not count"
    );
}

#[test]
fn names_are_compared_in_lower_case_without_the_final_dot() {
    assert_eq!(
        "API.Example.Com.".parse::<Host>(),
        "api.example.com".parse()
    );
}

#[test]
fn a_network_of_one_address_is_that_address() {
    assert_eq!("10.0.0.1/32".parse::<Host>(), "10.0.0.1".parse());
    assert_eq!("2001:db8::1/128".parse::<Host>(), "2001:db8::1".parse());
    let network: Host = "10.0.0.0/31".parse().unwrap();
    assert!(matches!(network, Host::Network(_)));
    assert_eq!(network.to_string(), "10.0.0.0/31");
}

#[test]
fn a_network_is_named_as_it_was_meant() {
    let error = "10.1.2.3/8".parse::<Host>().unwrap_err().to_string();
    assert!(error.contains("did you mean `10.0.0.0/8`?"), "{error}");
}

#[test]
fn a_network_opens_its_addresses_but_no_reserved_ones() {
    let opens = |granted: &str, asked: &str| {
        let granted: Host = granted.parse().unwrap();
        granted.opens(&asked.parse().unwrap())
    };
    assert!(opens("10.0.0.0/8", "10.255.0.1"));
    assert!(opens("10.0.0.0/8", "10.1.0.0/16"));
    assert!(!opens("10.1.0.0/16", "10.0.0.0/8"));
    assert!(!opens("10.0.0.0/8", "11.0.0.1"));
    assert!(!opens("10.0.0.0/8", "api.example.com"));
    assert!(opens("128.0.0.0/1", "169.253.0.1"));
    assert!(!opens("128.0.0.0/1", "169.254.169.254"));
    assert!(!opens("0.0.0.0/1", "127.0.0.1"));
    assert!(!opens("fc00::/6", "fd6c:616e:7961:7264::1"));
    assert!(opens("169.254.169.254", "169.254.169.254"));
    assert!(opens("127.0.0.1", "::ffff:127.0.0.1"));
}

#[test]
fn hosts_meet_when_they_have_something_in_common() {
    let meet = |one: &str, other: &str| {
        let (one, other): (Host, Host) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!(one.meets(&other), other.meets(&one));
        one.meets(&other)
    };
    assert!(meet("10.0.0.0/8", "10.0.0.1"));
    assert!(meet("10.0.0.0/8", "10.1.0.0/16"));
    assert!(!meet("10.0.0.0/8", "11.0.0.1"));
    assert!(!meet("10.0.0.1", "10.0.0.2"));
    assert!(meet("a.example.com", "A.example.com"));
    assert!(!meet("a.example.com", "10.0.0.0/8"));
}

#[test]
fn a_mapped_address_is_the_address_it_maps() {
    assert_eq!("::ffff:10.0.0.1".parse::<Host>(), "10.0.0.1".parse());
}
