package config

import "strings"

// Regions are the names of AWS regions that need no opt-in or are widely used
// (AWS documentation, "AWS Regions", 2026-06). The local target uses the names too.
var Regions = []string{
	"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "ca-west-1", "mx-central-1", "sa-east-1",
	"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2",
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3",
	"ap-southeast-4", "ap-southeast-5", "ap-southeast-7", "ap-south-1", "ap-south-2", "ap-east-1", "ap-east-2",
	"me-south-1", "me-central-1", "il-central-1", "af-south-1",
}

// RegionCode shortens a region's name for use in ids: us-east-1 is use1,
// ap-southeast-2 is apse2.
func RegionCode(region string) string {
	var b strings.Builder
	for i, part := range strings.Split(region, "-") {
		switch {
		case i == 0:
			b.WriteString(part)
		case part == "northeast", part == "southeast", part == "northwest", part == "southwest":
			b.WriteString(part[:1] + part[5:6])
		case part >= "0" && part <= "99":
			b.WriteString(part)
		default:
			b.WriteString(part[:1])
		}
	}
	return b.String()
}
