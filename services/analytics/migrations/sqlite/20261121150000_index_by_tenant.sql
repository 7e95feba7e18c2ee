-- Nearly all questions are about one tenant: among thousands an index by time alone reads them all.
-- Those about everybody, and forgetting, go by time.
DROP INDEX requests_at;
DROP INDEX queries_at;
DROP INDEX ingestions_at;
CREATE INDEX requests_at ON requests (at);
CREATE INDEX queries_at ON queries (at);
CREATE INDEX ingestions_at ON ingestions (at);
CREATE INDEX requests_of_tenant ON requests (tenant_id, at);
CREATE INDEX queries_of_tenant ON queries (tenant_id, at);
CREATE INDEX ingestions_of_tenant ON ingestions (tenant_id, at);
