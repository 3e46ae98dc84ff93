package requestreply_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The bugs that libraries of this class had, and some still have, each with
// the tests that show ours has it not. Where it can be, the naive code stands
// beside ours.
var bugsOfThisClass = []struct {
	bug    string
	proofs []string
}{
	{"1. the second attempt sends an empty body", []string{"TestTheSecondAttemptSendsItAll", "TestTransportRepeats", "TestUpload"}},
	{"2. a pooled buffer is freed twice, and another's bytes are sent", []string{"TestNobodySendsAnothersBytes", "TestCancelStorm"}},
	{"3. repeated answers are not closed, and with one connection the repeat waits for ever", []string{"TestARepeatFindsAFreeConnection", "TestOneConnectionPerHost"}},
	{"4. a body is left open when something else ends the repeats", []string{"TestEveryEndClosesItsBodies"}},
	{"5. a large Retry-After overflows into no wait", []string{"TestRetryAfterThatIsALie", "TestParseAfter", "TestHostilePeers"}},
	{"6. a Retry-After of hours is slept through", []string{"TestRetryAfterThatIsALie", "TestRetryAfterIsObeyedInFullOrNotAtAll"}},
	{"7. a Retry-After of zero, or past, is a hot loop", []string{"TestRetryAfterThatIsALie", "TestRetryAfterIsObeyedInFullOrNotAtAll"}},
	{"8. clients told the same wait come back at the same instant", []string{"TestClientsToldTheSameWaitComeBackApart"}},
	{"9. a POST is repeated", []string{"TestAntipatternBlindRepeat", "TestTransportRepeats", "TestNetHTTPReplayTrap"}},
	{"10. one failure empties the pool that all share", []string{"TestAFailureClosesNobodysConnections", "TestFailureKeepsThePool", "TestStallHarmsNoOther"}},
	{"11. the breaker counts callers that left", []string{"TestTheBreakerForgivesWhoLeft", "TestBreakerSigns"}},
	{"12. the probe's permit is lost, by a panic or a probe that hangs", []string{"TestAProbeThatHangsIsNotTheLast", "TestBreakerProbe"}},
	{"13. the breaker's callback calls the breaker, and both wait for ever", []string{"TestBreakerHook"}},
	{"14. a late result of a closed time decides the half-open state", []string{"TestBreakerProbe"}},
	{"15. the time for repeats ends without a word, or is used up by the first attempt", []string{"TestBackoffEndsWithoutAWord", "TestTheDeadlineIsNeverSleptPast", "TestTimeLimits"}},
	{"16. one more attempt after the cancel", []string{"TestBackoffGoesOnAfterTheCancel", "TestCancel", "TestCancelled"}},
	{"17. the attempt's context ends before its body is read, or never", []string{"TestTheBodyOutlivesItsFunction", "TestTransportBodyKeepsItsAttempt"}},
	{"18. the retry budget leaks, or never fills again", []string{"TestBudgetInTheLoop", "TestBudgetAllowsTheGreaterOfTwo", "TestManyClientsInAnOutage"}},
	{"19. a time-out is not known for one", []string{"TestTimeOutsAreFoundByErrorsIs", "TestATimeOutIsOneForNetError", "TestEndpointClientTimeout"}},
	{"20. a hedge: a fast error beats a slow success, and a POST is sent twice", []string{"TestAttemptsNeverOverlap"}}, // ours has none
	{"21. who follows dies with who leads, and the error stays cached", []string{"TestAntipatternSharedCancellation", "TestAntipatternCachedError"}},
	{"22. each repeat takes the HTTP/2 connection that hangs", []string{"TestStalledHTTP2Connection"}},
}

// The list above names tests that are there.
func TestBugsOfThisClass(t *testing.T) {
	tests := map[string]bool{}
	for _, dir := range []string{".", "coalesce", "../retry"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			src, err := os.ReadFile(file)
			require.NoError(t, err)
			f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					tests[fn.Name.Name] = true
				}
			}
		}
	}
	for i, b := range bugsOfThisClass {
		require.True(t, strings.HasPrefix(b.bug, strconv.Itoa(i+1)+". "))
		require.NotEmpty(t, b.proofs)
		for _, name := range b.proofs {
			require.True(t, tests[name], "%s: there is no %s", b.bug, name)
		}
	}
}
