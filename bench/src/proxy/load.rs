//! A client with a certificate: requests one after the other on kept connections, new connections, large answers.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use crate::report::Times;

/// How long one connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Where requests go, and how.
#[derive(Clone)]
pub(crate) struct Target {
    /// The port on loopback.
    pub(crate) address: SocketAddr,
    /// The name that is asked for, in TLS and in HTTP.
    pub(crate) host: String,
    /// None: without TLS, as the application itself is reached.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection.
pub(crate) type Sender = SendRequest<Empty<Bytes>>;

impl Target {
    /// A connection, with a whole handshake: nothing is resumed.
    pub(crate) async fn connect(&self) -> anyhow::Result<Sender> {
        let connecting = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => begin(stream).await,
                Some(config) => {
                    let name = ServerName::try_from(self.host.clone())?;
                    begin(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?).await
                }
            }
        };
        tokio::time::timeout(CONNECT, connecting).await.context("no connection within 10 s")?
    }

    /// One request; counts the bytes of its answer.
    pub(crate) async fn get(&self, sender: &mut Sender, path: &str) -> anyhow::Result<u64> {
        sender.ready().await?;
        let request = Request::get(path).header("host", &self.host).body(Empty::new())?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == 200, "{} is answered with {}", self.host, answer.status());
        let (mut body, mut length) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(length)
    }

    /// Requests on `connections` kept connections, one after the other on each, for `span`.
    pub(super) async fn requests(
        &self,
        connections: usize,
        path: &'static str,
        span: Duration,
    ) -> anyhow::Result<Times> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut sender = self.connect().await?;
            self.get(&mut sender, path).await?;
            open.push(sender);
        }
        let (until, mut running) = (Instant::now() + span, JoinSet::new());
        for mut sender in open {
            let target = self.clone();
            running.spawn(async move {
                let mut times = Times::default();
                while Instant::now() < until {
                    let began = Instant::now();
                    target.get(&mut sender, path).await?;
                    times.push(began.elapsed());
                }
                anyhow::Ok(times)
            });
        }
        all(running).await
    }

    /// Connections with one request each, `at_a_time`, for `span`.
    pub(super) async fn connections(
        &self,
        at_a_time: usize,
        path: &'static str,
        span: Duration,
    ) -> anyhow::Result<Times> {
        let (until, mut running) = (Instant::now() + span, JoinSet::new());
        for _ in 0..at_a_time {
            let target = self.clone();
            running.spawn(async move {
                let mut times = Times::default();
                while Instant::now() < until {
                    let began = Instant::now();
                    let mut sender = target.connect().await?;
                    target.get(&mut sender, path).await?;
                    times.push(began.elapsed());
                }
                anyhow::Ok(times)
            });
        }
        all(running).await
    }

    /// `streams` answers at a time; counts their bytes.
    pub(super) async fn streams(&self, streams: usize, path: &'static str) -> anyhow::Result<u64> {
        let mut running = JoinSet::new();
        for _ in 0..streams {
            let target = self.clone();
            running.spawn(async move { target.get(&mut target.connect().await?, path).await });
        }
        let mut bytes = 0;
        while let Some(read) = running.join_next().await {
            bytes += read??;
        }
        Ok(bytes)
    }
}

async fn all(mut running: JoinSet<anyhow::Result<Times>>) -> anyhow::Result<Times> {
    let mut times = Times::default();
    while let Some(done) = running.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

async fn begin<S>(stream: S) -> anyhow::Result<Sender>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with its sender; what goes wrong is seen by the request that waits for it.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}
