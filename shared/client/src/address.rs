use std::str::FromStr;

use http::Uri;

/// Where a service is: `http://host:port`, several of them with commas between, or
/// `dns://host:port` for every address behind a name (a headless service of Kubernetes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// These instances (scheme and authority).
    Instances(Vec<Uri>),
    /// Every address behind a name, looked up again and again.
    Dns {
        /// The name.
        host: String,
        /// The port of every instance.
        port: u16,
    },
}

/// The text names no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has another form.
    #[error("must look like `http://host:port`, several of them with commas, or `dns://host:port`")]
    Form,
    /// It asks for TLS.
    #[error(
        "`https://` is not spoken among services: use `http://` on a network of their own, or name \
         a proxy there that encrypts"
    )]
    Encrypted,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parse = |part: &str| part.trim().parse::<Uri>().map_err(|_| AddressError::Form);
        let parts = text.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
        let is_bare = |uri: &Uri| matches!(uri.path(), "" | "/") && uri.query().is_none();
        if let [name] = &parts[..]
            && name.scheme_str() == Some("dns")
        {
            let host = name.host().filter(|host| !host.is_empty());
            let (Some(host), Some(port), true) = (host, name.port_u16(), is_bare(name)) else {
                return Err(AddressError::Form);
            };
            return Ok(Self::Dns {
                host: host.to_owned(),
                port,
            });
        }
        let is_http = |uri: &Uri| {
            uri.scheme_str() == Some("http") && uri.authority().is_some() && is_bare(uri)
        };
        if parts.iter().all(is_http) {
            return Ok(Self::Instances(parts));
        }
        let is_https = |uri: &Uri| uri.scheme_str() == Some("https");
        if parts.iter().any(is_https) {
            Err(AddressError::Encrypted)
        } else {
            Err(AddressError::Form)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_url_several_or_a_name() {
        let one = "http://a:8002".parse::<Address>().unwrap();
        assert_eq!(
            one,
            Address::Instances(vec![Uri::from_static("http://a:8002")])
        );
        let Address::Instances(several) = "http://a:8002, http://b:8002/".parse().unwrap() else {
            unreachable!("two instances");
        };
        assert_eq!(several.len(), 2);
        let name = "dns://document.touchstone.svc:8002".parse::<Address>();
        let expected = Address::Dns {
            host: "document.touchstone.svc".into(),
            port: 8002,
        };
        assert_eq!(name, Ok(expected));
        for encrypted in ["https://a:8002", "http://a:8002,https://b:8002"] {
            let refused = encrypted.parse::<Address>();
            assert_eq!(refused, Err(AddressError::Encrypted), "{encrypted}");
        }
        for wrong in [
            "",
            "a:8002",
            "dns://a",
            "dns://a:1,http://b:1",
            "http://a:1,,http://b:1",
            "http://a:1/path",
        ] {
            assert_eq!(wrong.parse::<Address>(), Err(AddressError::Form), "{wrong}");
        }
    }
}
