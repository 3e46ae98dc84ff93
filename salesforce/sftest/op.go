package sftest

// An Op says what a call asks of the org. The journal notes it, and a [Fault]
// can be for one.
type Op string

// The calls that the org answers. The last three are none, but can be hit by
// faults: OpBulkRun is the next step of a job that runs, OpBulkRow one record of a
// job or of a call with many, OpOutbound a message that the org sends.
const (
	OpToken          Op = "token"           // POST /services/oauth2/token
	OpRevoke         Op = "revoke"          // POST or GET /services/oauth2/revoke
	OpUserInfo       Op = "userinfo"        // GET /services/oauth2/userinfo, /id/…/…
	OpVersions       Op = "versions"        // GET /services/data
	OpResources      Op = "resources"       // GET /services/data/vN.0
	OpDescribeGlobal Op = "describe-global" // GET …/sobjects
	OpDescribe       Op = "describe"        // GET …/sobjects/X and …/sobjects/X/describe
	OpCreate         Op = "create"          // POST …/sobjects/X
	OpRead           Op = "read"            // GET …/sobjects/X/<id>, …/sobjects/X/<field>/<value>
	OpUpdate         Op = "update"          // PATCH …/sobjects/X/<id>
	OpUpsert         Op = "upsert"          // PATCH …/sobjects/X/<field>/<value>
	OpDelete         Op = "delete"          // DELETE …/sobjects/X/<id>, …/sobjects/X/<field>/<value>
	OpPublish        Op = "publish"         // POST …/sobjects/X__e
	OpQuery          Op = "query"           // GET …/query?q= and …/queryAll?q=
	OpQueryMore      Op = "query-more"      // GET …/query/<locator>
	OpLimits         Op = "limits"          // GET …/limits
	OpCollection     Op = "collection"      // …/composite/sobjects, whatever the method
	OpJobCreate      Op = "job-create"      // POST …/jobs/ingest
	OpJobUpload      Op = "job-upload"      // PUT …/jobs/ingest/<id>/batches
	OpJobState       Op = "job-state"       // PATCH …/jobs/ingest/<id>
	OpJobInfo        Op = "job-info"        // GET …/jobs/ingest/<id>
	OpJobList        Op = "job-list"        // GET …/jobs/ingest
	OpJobDelete      Op = "job-delete"      // DELETE …/jobs/ingest/<id>
	OpJobResults     Op = "job-results"     // GET …/jobs/ingest/<id>/successfulResults and its like
	OpBulkRun        Op = "bulk-run"
	OpBulkRow        Op = "bulk-row"
	OpOutbound       Op = "outbound"
)
