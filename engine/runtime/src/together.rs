//! Futures that are polled together until one of them ends: the forms of `select!` over `&mut` futures
//! that are safe, because nothing else is awaited in between (see [`crate::task_set`]).

use std::{
    future::Future,
    pin::{Pin, pin},
};

use tokio::sync::oneshot;

/// Runs `side` concurrently with `main` until `main` ends. `side` may end before; otherwise it is
/// dropped.
pub async fn run_with<M: Future>(main: M, side: impl Future<Output = ()>) -> M::Output {
    let mut main = pin!(main);
    tokio::select! {
        ended = &mut main => ended,
        () = side => main.await,
    }
}

/// Runs `main` to its end; when `signal` comes first, calls `notify` on it once.
pub async fn noticed<M: Future>(
    main: M,
    signal: impl Future<Output = ()>,
    notify: impl FnOnce(Pin<&mut M>),
) -> M::Output {
    let mut main = pin!(main);
    tokio::select! {
        ended = &mut main => return ended,
        () = signal => notify(main.as_mut()),
    }
    main.await
}

/// Waits for the value of a channel; `None` if its sender is gone. Cancel-safe; must not be called again
/// after it has returned.
pub async fn received<T>(receiver: &mut oneshot::Receiver<T>) -> Option<T> {
    receiver.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn main_futures_outlive_their_side_futures() {
        let main = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(run_with(main, std::future::ready(())).await, 7);
        assert_eq!(run_with(std::future::ready(8), std::future::pending()).await, 8);
    }

    #[tokio::test]
    async fn signals_reach_the_main_future_once() {
        let (sender, receiver) = oneshot::channel();
        let mut sender = Some(sender);
        let main = async { receiver.await.unwrap() };
        let notify = |_: Pin<&mut _>| sender.take().unwrap().send(7).unwrap();
        assert_eq!(noticed(main, std::future::ready(()), notify).await, 7);
    }

    #[tokio::test]
    async fn receivers_can_be_asked_again_until_they_answer() {
        let (sender, mut receiver) = oneshot::channel();
        tokio::select! {
            biased;
            _ = received(&mut receiver) => panic!("nothing was sent"),
            () = std::future::ready(()) => {}
        }
        sender.send(7).unwrap();
        assert_eq!(received(&mut receiver).await, Some(7));
    }
}
