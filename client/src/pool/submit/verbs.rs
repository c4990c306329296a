//! The verbs of a pool, with default options.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::pool::Pool;
use crate::pool::results::AsyncResult;
use crate::pool::results::ResultIterator;
use crate::pool::submit::batch_builder::BatchBuilder;
use crate::task::TaskFunction;

impl Pool {
    /// Begins to submit calls of this function with options: a chunk size, a priority, retries or a time limit. The
    /// other verbs are short for `pool.batch(function)` followed by the verb.
    pub fn batch<F>(&self, function: F) -> BatchBuilder<'_, F> {
        BatchBuilder::new(self, function)
    }

    /// Calls the function once with these arguments, and waits for what it returns.
    pub fn apply<F, Arguments>(&self, function: F, arguments: Arguments) -> Result<F::Output>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        self.batch(function).apply(arguments)
    }

    /// Submits one call with these arguments, and returns at once.
    pub fn apply_async<F, Arguments>(
        &self,
        function: F,
        arguments: Arguments,
    ) -> Result<AsyncResult<F::Output>>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        self.batch(function).apply_async(arguments)
    }

    /// Calls the function once with each item, and waits for the results, in the order of the items.
    pub fn map<F, Item>(&self, function: F, items: impl IntoIterator<Item = Item>) -> Result<Vec<F::Output>>
    where
        F: TaskFunction<(Item,), Output: DeserializeOwned>,
        Item: Serialize,
    {
        self.batch(function).map(items)
    }

    /// Submits one call with each item, and returns when the input was drawn.
    ///
    /// # Errors
    ///
    /// Those of [`BatchBuilder::starmap_async`], as for all methods that submit.
    pub fn map_async<F, Item>(
        &self,
        function: F,
        items: impl IntoIterator<Item = Item>,
    ) -> Result<AsyncResult<Vec<F::Output>>>
    where
        F: TaskFunction<(Item,), Output: DeserializeOwned>,
        Item: Serialize,
    {
        self.batch(function).map_async(items)
    }

    /// Calls the function once with each tuple of arguments, and waits for the results, in the order of the tuples.
    pub fn starmap<F, Arguments>(
        &self,
        function: F,
        tuples: impl IntoIterator<Item = Arguments>,
    ) -> Result<Vec<F::Output>>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        self.batch(function).starmap(tuples)
    }

    /// Submits one call with each tuple of arguments, and returns when the input was drawn.
    pub fn starmap_async<F, Arguments>(
        &self,
        function: F,
        tuples: impl IntoIterator<Item = Arguments>,
    ) -> Result<AsyncResult<Vec<F::Output>>>
    where
        F: TaskFunction<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        self.batch(function).starmap_async(tuples)
    }

    /// Calls the function once with each item; gives the results one by one, in the order of the items. The input is
    /// drawn lazily, in bounded memory: see [`BatchBuilder::imap`].
    ///
    /// ```no_run
    /// # fn main() -> client::Result<()> {
    /// fn square(number: u64) -> u64 {
    ///     number * number
    /// }
    ///
    /// # let manager = client::Manager::start()?;
    /// # let pool = client::Pool::new(&manager, 2)?;
    /// for square in pool.imap(square, 0..)?.take(10) {
    ///     println!("{}", square?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn imap<F, Items>(&self, function: F, items: Items) -> Result<ResultIterator<F::Output>>
    where
        F: TaskFunction<(Items::Item,), Output: DeserializeOwned>,
        Items: IntoIterator<Item: Serialize, IntoIter: Send + 'static>,
    {
        self.batch(function).imap(items)
    }

    /// Like [`imap`](Pool::imap), but gives the results in the order in which they come.
    pub fn imap_unordered<F, Items>(&self, function: F, items: Items) -> Result<ResultIterator<F::Output>>
    where
        F: TaskFunction<(Items::Item,), Output: DeserializeOwned>,
        Items: IntoIterator<Item: Serialize, IntoIter: Send + 'static>,
    {
        self.batch(function).imap_unordered(items)
    }
}
