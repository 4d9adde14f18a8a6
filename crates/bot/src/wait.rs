//! Asks a running bot's diagnostics endpoint until it is ready.

use std::time::Duration;

use clock::Clock;
use domain::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);
/// One question.
const DEADLINE: Duration = Duration::from_secs(5);
/// More than any answer has.
const MAX_ANSWER: u64 = 64 * 1024;

/// Returns when the bot at `address`, or one service of it, is ready.
///
/// # Errors
/// Unavailable when the time is over, with what was wrong last; not found for a service that is none.
pub async fn wait_until_ready(
    address: &str,
    service: Option<&str>,
    limit: Option<Duration>,
    clock: &Clock,
) -> Result<(), Error> {
    if service.is_some_and(|name| !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte))) {
        return Err(Error::invalid("--service: letters, digits and - _ + only"));
    }
    let path = service.map_or_else(|| "/readyz".to_owned(), |name| format!("/readyz/{name}"));
    let end = limit.map(|limit| clock.monotonic() + limit);
    loop {
        let last = match clock.timeout(DEADLINE, ask(address, &path)).await {
            Ok(Ok((200, _))) => return Ok(()),
            Ok(Ok((404, _))) => {
                return Err(Error::not_found(format!("the bot has no service {:?}", service.unwrap_or_default())));
            }
            Ok(Ok((_, body))) => body,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if end.is_some_and(|end| clock.monotonic() >= end) {
            return Err(Error::unavailable(format!("the bot at {address} is not ready: {}", last.trim())));
        }
        clock.sleep(PAUSE).await;
    }
}

/// One request, one connection.
async fn ask(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    status.map(|status| (status, body)).ok_or_else(|| std::io::Error::other("that is no HTTP"))
}
