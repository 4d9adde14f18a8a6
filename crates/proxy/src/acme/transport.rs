//! HTTPS to the authority, with our own TLS and through the proxies of this network.

use std::{error::Error as StdError, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Clock;
use crypto::tls::{self, ClientOptions, Trust};
use http::{
    HeaderValue, Request, Response, Uri,
    header::{HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use net::BoxIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::AcmeConfig;

/// How long one request may take, with its connection.
const DEADLINE: Duration = Duration::from_secs(30);

/// More than any answer has.
const MOST: usize = 1024 * 1024;

const KEEP_ALIVE: Duration = Duration::from_secs(60);

const HTTPS_PORT: u16 = 443;

type Broken = Box<dyn StdError + Send + Sync>;

/// A connection for each request: there are a dozen in two months.
pub(super) struct Outbound {
    tls: Arc<ClientConfig>,
    out: client::Proxies,
    clock: Clock,
}

impl Outbound {
    pub(super) fn new(config: &AcmeConfig, clock: &Clock) -> Result<Self, tls::Error> {
        let trust = Trust::Roots(config.authorities.clone());
        let options = ClientOptions { trust, certificate: None, alpn: vec![b"http/1.1".to_vec()] };
        Ok(Self { tls: tls::client_config(options, clock)?, out: config.out.clone(), clock: clock.clone() })
    }
}

impl HttpClient for Outbound {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (tls, out, clock) = (Arc::clone(&self.tls), self.out.clone(), self.clock.clone());
        Box::pin(async move {
            let exchanged = clock.timeout(DEADLINE, Box::pin(exchange(&tls, &out, request))).await;
            match exchanged.unwrap_or_else(|_| Err("the authority did not answer in time".into())) {
                Ok(response) => Ok(response.into()),
                Err(error) => Err(Error::Other(error)),
            }
        })
    }
}

async fn exchange(
    tls: &Arc<ClientConfig>,
    out: &client::Proxies,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Broken> {
    let uri = std::mem::take(request.uri_mut());
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or("only https:// is asked")?;
    let name = authority.host().trim_matches(['[', ']']).to_owned();
    let place = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(HTTPS_PORT));
    *request.uri_mut() = Uri::from(uri.path_and_query().cloned().ok_or("the address has no path")?);
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let agent = concat!("tessera/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
    let tcp = client::tcp(&place, out, KEEP_ALIVE).await?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(ServerName::try_from(name)?, tcp).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(Box::new(stream) as BoxIo)).await?;
    let answer = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MOST).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}
