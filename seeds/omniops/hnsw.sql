-- On top of after.sql: the vector index built again with the m of the sweep in hnsw-m.toml. Its name was guessed by whoever proposed m 12
-- (X-36); pgvector's default is m 16, so that the proposal only makes the graph thinner (X-74).
drop index page_embeddings_embedding_hnsw_idx;
-- A graph that does not fit takes longer to build.
set maintenance_work_mem = '256MB';
create index page_embeddings_embedding_hnsw_idx on page_embeddings
  using hnsw (embedding extensions.vector_cosine_ops) with (m = {{m}}, ef_construction = 64);
