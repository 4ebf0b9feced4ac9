package aws

import (
	"regexp"
)

// meanings are what refusals of AWS's services mean and what to do about them, by what
// the plugin says; the first that fits counts. $1 is what the pattern found.
var meanings = []struct {
	says, what, hint string
}{
	{`\b(\w*(?:LimitExceeded|QuotaExceeded)\w*|TooMany(?:LoadBalancers|TargetGroups|Rules|Buckets|Distributions)\w*)\b`,
		"a quota of the account is reached ($1)", "ask for more under Service Quotas in that region, or take down what is not needed; then 'scale up' goes on from here"},
	{`not authorized to perform: ([a-zA-Z0-9-]+:\w+)`,
		"these credentials may not $1", "give their user or role leave for $1; then 'scale up' goes on from here"},
	{`\b(UnauthorizedOperation|AccessDenied\w*)\b`,
		"these credentials may not do that ($1)", "the message names the call: give their user or role leave for it; then 'scale up' goes on from here"},
	{`\b(OptInRequired)\b`,
		"the region is not enabled in this account ($1)", "enable it under 'AWS Regions' of the account's page, or take it out of regions in scale.yaml"},
	{`\b(ExpiredToken\w*|RequestExpired)\b`,
		"the credentials expired on the way ($1)", "get new ones; then 'scale up' goes on from here"},
	{`\b(InsufficientCapacity\w*|InsufficientInstanceCapacity|InsufficientDBInstanceCapacity\w*)\b`,
		"AWS has not enough of that there now ($1)", "try 'scale up' again later: it goes on from here"},
	{`\b(NotImplemented\w*|UnknownOperationException|InvalidAction)\b`,
		"what answers at the endpoint does not know a call ($1)", "an emulator may lack the service; its documentation tells"},
}

// Explain implements stacks.Keeper.
func (a *AWS) Explain(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, m := range meanings {
		re := regexp.MustCompile(m.says)
		if found := re.FindStringSubmatchIndex(text); found != nil {
			expand := func(s string) string { return string(re.ExpandString(nil, s, text, found)) }
			return &Error{What: expand(m.what), Err: err, Hint: expand(m.hint)}
		}
	}
	return err
}
