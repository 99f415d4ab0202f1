-- Beside the vector index, a way to one tenant's vectors, so that the planner may sort a small tenant's exactly.
create index idx_page_embeddings_domain on page_embeddings (domain_id);
