//! The loop of one connection, for a duel's sessions and for pgbench's clients: the next transaction, its runs until one counts, and what became of it.

/// Who runs transactions one by one. Where the next one comes from, what a run is and what is noted of it, is the implementor's.
pub(crate) trait OneByOne {
    /// A transaction that is due.
    type Turn;
    /// What a run that ended well tells.
    type Done;
    /// Why one did not.
    type Error;

    /// The next transaction, once it is due and may run; `None` when no more are to come.
    async fn next(&mut self) -> Result<Option<Self::Turn>, Self::Error>;

    /// Runs it, for the `run`th time, from 1.
    async fn run(&mut self, turn: &mut Self::Turn, run: u32) -> Result<Self::Done, Self::Error>;

    /// Whether it is run again after its `run`th run failed so: it lost against another one, and may be.
    async fn again(&mut self, turn: &Self::Turn, error: &Self::Error, run: u32) -> Result<bool, Self::Error>;

    /// Takes note of what became of it in so many runs. Whether there is to be a next one.
    async fn ended(&mut self, turn: Self::Turn, result: Result<Self::Done, Self::Error>, runs: u32) -> Result<bool, Self::Error>;
}

/// Runs transactions until there are no more. An error ends it before.
pub(crate) async fn one_by_one<T: OneByOne>(worker: &mut T) -> Result<(), T::Error> {
    while let Some(mut turn) = worker.next().await? {
        let mut runs = 1;
        let result = loop {
            let result = worker.run(&mut turn, runs).await;
            match &result {
                Err(error) if worker.again(&turn, error, runs).await? => runs += 1,
                _ => break result,
            }
        };
        if !worker.ended(turn, result, runs).await? {
            break;
        }
    }
    Ok(())
}
