use std::io::Write as _;

use api::r#gen::proto::{ListRolesRequest, Watch};
use flate2::{Compression, write::GzEncoder};
use futures_util::FutureExt as _;
use http_body_util::Full;
use tonic::{Code, codec::CompressionEncoding};

use super::*;
use crate::{dispatch::MAX_MESSAGE, receive::Budget};

/// One request with this message, gzipped, as it arrives.
fn arriving<T: Message + Default>(message: &[u8], charge: &Arc<Charge>) -> Requests<T> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(message).unwrap();
    let gzip = gzip.finish().unwrap();
    let prefix = [&[1][..], &u32::try_from(gzip.len()).unwrap().to_be_bytes()].concat();
    let body = Full::new(Bytes::from([prefix, gzip].concat()));
    let (decoder, encoding) = (BytesCodec(Arc::clone(charge)).decoder(), Some(CompressionEncoding::Gzip));
    Requests::new(Streaming::new_request(decoder, body, encoding, Some(MAX_MESSAGE)))
}

fn read_all<T: Message + Default>(message: &[u8], charge: &Arc<Charge>) -> Result<T, Code> {
    match arriving(message, charge).message().now_or_never().unwrap() {
        Ok(message) => Ok(message.unwrap()),
        Err(status) => Err(status.code()),
    }
}

#[test]
fn a_message_of_four_kilobytes_becomes_a_gigabyte() {
    let budget = Arc::new(Budget::of_connection());
    let charge = Charge::new(Arc::clone(&budget), None);
    // Two million empty kinds.
    let empty = [0x0a, 0].repeat(MAX_MESSAGE / 2);
    assert_eq!(read_all::<Watch>(&empty, &charge), Err(Code::ResourceExhausted));
    // As large, but one text; and as many fields as a large document has.
    let text = ListRolesRequest { start_key: "x".repeat(MAX_MESSAGE - 8), ..Default::default() };
    assert_eq!(read_all(&text.encode_to_vec(), &charge), Ok(text));
    let many = [0x0a, 0].repeat(5000);
    assert_eq!(read_all::<Watch>(&many, &charge).map(|watch| watch.kinds.len()), Ok(5000));
}

#[test]
fn inflated_messages_that_wait_for_their_end_count_as_what_came() {
    let budget = Arc::new(Budget::of_connection());
    let message = [&[0x12][..], &[0x80, 0x80, 0xc0, 0x01], &vec![0; 3 << 20]].concat();
    let charges: Vec<_> = (0..3).map(|_| Charge::new(Arc::clone(&budget), None)).collect();
    let held: Vec<_> = charges.iter().map(|charge| read_all::<ListRolesRequest>(&message, charge).is_ok()).collect();
    assert_eq!(held, [true, true, false], "each is held until its charge goes");
    drop(charges);
    assert!(read_all::<ListRolesRequest>(&message, &Charge::new(budget, None)).is_ok());
}
