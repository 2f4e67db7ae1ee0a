//! Reading a Form queue back.

use form_usage_events::transport::{self, ConnectOptions, Destination, Failure, Message, Polled, Source};

use crate::form_queue::FormQueue;

fn message(sub_topic: u8, text: &str) -> Vec<u8> {
    [&[sub_topic], text.as_bytes()].concat()
}

fn source(url: &str) -> Box<dyn Source> {
    let destination: Destination = url.parse().unwrap();
    transport::open(&destination, &ConnectOptions::default()).unwrap()
}

fn texts(polled: Result<Polled, Failure>) -> Vec<(u64, String)> {
    match polled {
        Ok(Polled::Messages(messages)) => {
            let text = |message: Message| (message.position, String::from_utf8(message.body).unwrap());
            messages.into_iter().map(text).collect()
        }
        Ok(Polled::UpToDate) => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn pairs(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect()
}

#[tokio::test]
async fn reads_what_is_there_and_then_what_is_new() {
    let queue = FormQueue::start();
    queue.hold([message(0, "a"), message(7, "other"), message(0, "b")]);
    let mut source = source(&queue.url());
    assert_eq!(texts(source.poll().await), pairs(&[(0, "a"), (2, "b")]));
    assert_eq!(texts(source.poll().await), []);
    queue.hold([message(0, "c")]);
    assert_eq!(texts(source.poll().await), pairs(&[(3, "c")]));
}

#[tokio::test]
async fn a_sub_topic_is_chosen_by_the_url() {
    let queue = FormQueue::start();
    queue.hold([message(0, "a"), message(7, "b")]);
    assert_eq!(texts(source(&format!("{}?sub_topic=7", queue.url())).poll().await), pairs(&[(1, "b")]));
}

#[tokio::test]
async fn a_topic_that_nobody_wrote_to_is_absent() {
    let queue = FormQueue::start();
    match source(&queue.url()).poll().await {
        Ok(Polled::Absent(words)) => assert!(words.contains("holds no topic \"usage_events\""), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_queue_that_restarted_is_read_from_its_start() {
    let queue = FormQueue::start();
    queue.hold([message(0, "a"), message(0, "b")]);
    let mut source = source(&queue.url());
    assert_eq!(texts(source.poll().await).len(), 2);
    queue.restart();
    assert_eq!(texts(source.poll().await), [], "what was read last is gone: the place is forgotten");
    queue.hold([message(0, "c")]);
    assert_eq!(texts(source.poll().await), pairs(&[(0, "c")]));
}

#[tokio::test]
async fn a_restarted_queue_that_has_grown_past_the_place_is_noticed_too() {
    let queue = FormQueue::start();
    queue.hold([message(0, "a")]);
    let mut source = source(&queue.url());
    assert_eq!(texts(source.poll().await).len(), 1);
    queue.restart();
    queue.hold([message(0, "c"), message(0, "d")]);
    let failure = source.poll().await.unwrap_err();
    assert!(failure.message.contains("was restarted"), "{failure}");
    assert_eq!(texts(source.poll().await), pairs(&[(0, "c"), (1, "d")]));
}

#[tokio::test]
async fn a_list_that_is_cut_goes_on_where_it_ended() {
    let queue = FormQueue::start();
    queue.hold((0..10).map(|n| message(0, &n.to_string())));
    queue.cut_list_after(4);
    let mut source = source(&queue.url());
    let first = texts(source.poll().await);
    assert_eq!(first.last(), Some(&(3, "3".to_owned())));
    let second = texts(source.poll().await);
    assert_eq!((second.first(), second.len()), (Some(&(4, "4".to_owned())), 6));
}

#[tokio::test]
async fn a_long_topic_comes_in_pieces() {
    let queue = FormQueue::start();
    queue.hold((0..2_500).map(|n| message(0, &n.to_string())));
    let mut source = source(&queue.url());
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    loop {
        let piece = texts(source.poll().await);
        if piece.is_empty() {
            break;
        }
        sizes.push(piece.len());
        seen.extend(piece.into_iter().map(|(_, text)| text));
    }
    assert!(sizes.len() > 1, "{sizes:?}");
    assert_eq!(seen, (0..2_500).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_program_on_that_port_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("form://{}/usage_events", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut connection in listener.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
        }
    });
    let failure = source(&url).poll().await.unwrap_err();
    assert_eq!(failure.kind, form_usage_events::transport::FailureKind::Destination);
    assert!(failure.message.contains("is not a Form queue"), "{failure}");
}
