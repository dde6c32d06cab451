// The peer Tokio, its primitives: `tokio_tasks MODE N` with the modes of tasks.c, on the current-thread runtime. No driver
// for I/O or time is enabled: it would only add to what a yield costs.
use std::io::{BufRead, Write};
use std::time::Instant;

const BATCH: usize = 1000;

async fn yield_now(n: usize) {
    let yielder = |n: usize| async move {
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
    };
    let a = tokio::spawn(yielder(n / 2));
    let b = tokio::spawn(yielder(n - n / 2));
    a.await.unwrap();
    b.await.unwrap();
}

#[inline(never)]
fn nothing(value: usize) -> usize {
    value
}

async fn spawn(n: usize) {
    for i in 0..n {
        assert_eq!(tokio::spawn(async move { nothing(i) }).await.unwrap(), i);
    }
}

async fn spawn1000(n: usize) {
    let mut handles = Vec::with_capacity(BATCH);
    let mut made = 0;
    while made < n {
        for i in 0..BATCH {
            handles.push(tokio::spawn(async move { nothing(i) }));
        }
        for (i, handle) in handles.drain(..).enumerate() {
            assert_eq!(handle.await.unwrap(), i);
        }
        made += BATCH;
    }
}

async fn work(mode: &str, n: usize) {
    match mode {
        "yield" => yield_now(n).await,
        "spawn" => spawn(n).await,
        "spawn1000" => spawn1000(n).await,
        _ => {
            eprintln!("usage: tokio_tasks yield|spawn|spawn1000 N");
            std::process::exit(2);
        }
    }
}

fn wait_for_line() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let mode = arguments.get(1).map(String::as_str).unwrap_or("").to_owned();
    let n: usize = arguments.get(2).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // In a task of its own, as every task of a program is: the future of block_on itself is polled otherwise.
    runtime.block_on(async move {
        tokio::spawn(async move {
            work(&mode, 10 * BATCH).await;
            println!("ready");
            wait_for_line();
            let start = Instant::now();
            work(&mode, n).await;
            println!("done {} ns={:.2}", n, start.elapsed().as_nanos() as f64 / n as f64);
            std::io::stdout().flush().unwrap();
            wait_for_line();
        })
        .await
        .unwrap();
    });
}
