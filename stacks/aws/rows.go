package aws

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/acm"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudfront"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecr"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/elasticache"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/rds"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/servicediscovery"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/wafv2"
)

// rows are the resource types that the programs use. The types of inputs and outputs
// are the SDK's own; ids and ARNs are in the form that AWS documents (Service
// Authorization Reference, "resource types"); durations are estimates in seconds
// from the services' documentation, none was measured.
//
// In a form, $input is an input, $id and $arn what the resource itself has, @n are n
// letters and digits that follow from its name; "global:" is in no region. Unique
// names what no two resources of the type may share in a region, or in the account
// where it ends in "!".
var rows = []row{
	{typ: "aws:acm/certificate:Certificate", terraform: "aws_acm_certificate", args: acm.CertificateArgs{}, res: acm.Certificate{}, id: "$arn", arn: "acm:certificate/@uuid", unique: "", create: 5, update: 2, delete: 5},
	{typ: "aws:acm/certificateValidation:CertificateValidation", terraform: "aws_acm_certificate_validation", args: acm.CertificateValidationArgs{}, res: acm.CertificateValidation{}, id: "@time", arn: "", unique: "", create: 180, update: 0, delete: 0},
	{typ: "aws:cloudfront/distribution:Distribution", terraform: "aws_cloudfront_distribution", args: cloudfront.DistributionArgs{}, res: cloudfront.Distribution{}, id: "E@13", arn: "global:cloudfront:distribution/$id", unique: "", create: 10, update: 10, delete: 300},
	{typ: "aws:cloudfront/originAccessControl:OriginAccessControl", terraform: "aws_cloudfront_origin_access_control", args: cloudfront.OriginAccessControlArgs{}, res: cloudfront.OriginAccessControl{}, id: "E@13", arn: "global:cloudfront:origin-access-control/$id", unique: "name!", create: 2, update: 2, delete: 2},
	{typ: "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy", terraform: "aws_cloudfront_response_headers_policy", args: cloudfront.ResponseHeadersPolicyArgs{}, res: cloudfront.ResponseHeadersPolicy{}, id: "@uuid", arn: "global:cloudfront:response-headers-policy/$id", unique: "name!", create: 2, update: 2, delete: 2},
	{typ: "aws:cloudwatch/logGroup:LogGroup", terraform: "aws_cloudwatch_log_group", args: cloudwatch.LogGroupArgs{}, res: cloudwatch.LogGroup{}, id: "$name", arn: "logs:log-group:$name", unique: "name", create: 2, update: 2, delete: 2},
	{typ: "aws:cloudwatch/metricAlarm:MetricAlarm", terraform: "aws_cloudwatch_metric_alarm", args: cloudwatch.MetricAlarmArgs{}, res: cloudwatch.MetricAlarm{}, id: "$name", arn: "cloudwatch:alarm:$name", unique: "name", create: 1, update: 1, delete: 1},
	{typ: "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", terraform: "aws_default_security_group", args: ec2.DefaultSecurityGroupArgs{}, res: ec2.DefaultSecurityGroup{}, id: "sg-@17", arn: "ec2:security-group/$id", unique: "vpcId", create: 2, update: 2, delete: 1},
	{typ: "aws:ec2/eip:Eip", terraform: "aws_eip", args: ec2.EipArgs{}, res: ec2.Eip{}, id: "eipalloc-@17", arn: "ec2:elastic-ip/$id", unique: "", create: 3, update: 3, delete: 3},
	{typ: "aws:ec2/flowLog:FlowLog", terraform: "aws_flow_log", args: ec2.FlowLogArgs{}, res: ec2.FlowLog{}, id: "fl-@17", arn: "ec2:vpc-flow-log/$id", unique: "", create: 3, update: 2, delete: 3},
	{typ: "aws:ec2/instance:Instance", terraform: "aws_instance", args: ec2.InstanceArgs{}, res: ec2.Instance{}, id: "i-@17", arn: "ec2:instance/$id", unique: "", create: 40, update: 30, delete: 60},
	{typ: "aws:ec2/internetGateway:InternetGateway", terraform: "aws_internet_gateway", args: ec2.InternetGatewayArgs{}, res: ec2.InternetGateway{}, id: "igw-@17", arn: "ec2:internet-gateway/$id", unique: "", create: 3, update: 2, delete: 20},
	{typ: "aws:ec2/natGateway:NatGateway", terraform: "aws_nat_gateway", args: ec2.NatGatewayArgs{}, res: ec2.NatGateway{}, id: "nat-@17", arn: "ec2:natgateway/$id", unique: "", create: 110, update: 2, delete: 60},
	{typ: "aws:ec2/route:Route", terraform: "aws_route", args: ec2.RouteArgs{}, res: ec2.Route{}, id: "r-@17", arn: "", unique: "routeTableId,destinationCidrBlock", create: 2, update: 2, delete: 2},
	{typ: "aws:ec2/routeTable:RouteTable", terraform: "aws_route_table", args: ec2.RouteTableArgs{}, res: ec2.RouteTable{}, id: "rtb-@17", arn: "ec2:route-table/$id", unique: "", create: 2, update: 2, delete: 2},
	{typ: "aws:ec2/routeTableAssociation:RouteTableAssociation", terraform: "aws_route_table_association", args: ec2.RouteTableAssociationArgs{}, res: ec2.RouteTableAssociation{}, id: "rtbassoc-@17", arn: "", unique: "subnetId", create: 1, update: 1, delete: 1},
	{typ: "aws:ec2/securityGroup:SecurityGroup", terraform: "aws_security_group", args: ec2.SecurityGroupArgs{}, res: ec2.SecurityGroup{}, id: "sg-@17", arn: "ec2:security-group/$id", unique: "vpcId,name", create: 3, update: 2, delete: 5},
	{typ: "aws:ec2/subnet:Subnet", terraform: "aws_subnet", args: ec2.SubnetArgs{}, res: ec2.Subnet{}, id: "subnet-@17", arn: "ec2:subnet/$id", unique: "vpcId,cidrBlock", create: 3, update: 2, delete: 3},
	{typ: "aws:ec2/vpc:Vpc", terraform: "aws_vpc", args: ec2.VpcArgs{}, res: ec2.Vpc{}, id: "vpc-@17", arn: "ec2:vpc/$id", unique: "", create: 12, update: 5, delete: 3},
	{typ: "aws:ec2/vpcEndpoint:VpcEndpoint", terraform: "aws_vpc_endpoint", args: ec2.VpcEndpointArgs{}, res: ec2.VpcEndpoint{}, id: "vpce-@17", arn: "ec2:vpc-endpoint/$id", unique: "vpcId,serviceName", create: 7, update: 5, delete: 7},
	{typ: "aws:ec2/vpcPeeringConnection:VpcPeeringConnection", terraform: "aws_vpc_peering_connection", args: ec2.VpcPeeringConnectionArgs{}, res: ec2.VpcPeeringConnection{}, id: "pcx-@17", arn: "ec2:vpc-peering-connection/$id", unique: "vpcId,peerVpcId", create: 5, update: 2, delete: 3},
	{typ: "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter", terraform: "aws_vpc_peering_connection_accepter", args: ec2.VpcPeeringConnectionAccepterArgs{}, res: ec2.VpcPeeringConnectionAccepter{}, id: "$vpcPeeringConnectionId", arn: "", unique: "vpcPeeringConnectionId", create: 3, update: 2, delete: 1},
	{typ: "aws:ecr/lifecyclePolicy:LifecyclePolicy", terraform: "aws_ecr_lifecycle_policy", args: ecr.LifecyclePolicyArgs{}, res: ecr.LifecyclePolicy{}, id: "$repository", arn: "", unique: "repository", create: 1, update: 1, delete: 1},
	{typ: "aws:ecr/repository:Repository", terraform: "aws_ecr_repository", args: ecr.RepositoryArgs{}, res: ecr.Repository{}, id: "$name", arn: "ecr:repository/$name", unique: "name", create: 2, update: 2, delete: 2},
	{typ: "aws:ecs/cluster:Cluster", terraform: "aws_ecs_cluster", args: ecs.ClusterArgs{}, res: ecs.Cluster{}, id: "$arn", arn: "ecs:cluster/$name", unique: "name", create: 12, update: 5, delete: 12},
	{typ: "aws:ecs/service:Service", terraform: "aws_ecs_service", args: ecs.ServiceArgs{}, res: ecs.Service{}, id: "$arn", arn: "ecs:service/$name", unique: "cluster,name", create: 120, update: 150, delete: 90},
	{typ: "aws:ecs/taskDefinition:TaskDefinition", terraform: "aws_ecs_task_definition", args: ecs.TaskDefinitionArgs{}, res: ecs.TaskDefinition{}, id: "$arn", arn: "ecs:task-definition/$family:@revision", unique: "", create: 1, update: 0, delete: 1},
	{typ: "aws:elasticache/parameterGroup:ParameterGroup", terraform: "aws_elasticache_parameter_group", args: elasticache.ParameterGroupArgs{}, res: elasticache.ParameterGroup{}, id: "$name", arn: "elasticache:parametergroup:$name", unique: "name", create: 3, update: 3, delete: 2},
	{typ: "aws:elasticache/replicationGroup:ReplicationGroup", terraform: "aws_elasticache_replication_group", args: elasticache.ReplicationGroupArgs{}, res: elasticache.ReplicationGroup{}, id: "$replicationGroupId", arn: "elasticache:replicationgroup:$replicationGroupId", unique: "replicationGroupId", create: 720, update: 600, delete: 480},
	{typ: "aws:elasticache/subnetGroup:SubnetGroup", terraform: "aws_elasticache_subnet_group", args: elasticache.SubnetGroupArgs{}, res: elasticache.SubnetGroup{}, id: "$name", arn: "elasticache:subnetgroup:$name", unique: "name", create: 2, update: 2, delete: 2},
	{typ: "aws:iam/instanceProfile:InstanceProfile", terraform: "aws_iam_instance_profile", args: iam.InstanceProfileArgs{}, res: iam.InstanceProfile{}, id: "$name", arn: "global:iam:instance-profile/$name", unique: "name!", create: 8, update: 2, delete: 2},
	{typ: "aws:iam/role:Role", terraform: "aws_iam_role", args: iam.RoleArgs{}, res: iam.Role{}, id: "$name", arn: "global:iam:role/$name", unique: "name!", create: 8, update: 2, delete: 2},
	{typ: "aws:iam/rolePolicy:RolePolicy", terraform: "aws_iam_role_policy", args: iam.RolePolicyArgs{}, res: iam.RolePolicy{}, id: "$role:$name", arn: "", unique: "role,name", create: 1, update: 1, delete: 1},
	{typ: "aws:iam/rolePolicyAttachment:RolePolicyAttachment", terraform: "aws_iam_role_policy_attachment", args: iam.RolePolicyAttachmentArgs{}, res: iam.RolePolicyAttachment{}, id: "$role-@17", arn: "", unique: "role,policyArn", create: 1, update: 1, delete: 1},
	{typ: "aws:kms/alias:Alias", terraform: "aws_kms_alias", args: kms.AliasArgs{}, res: kms.Alias{}, id: "$name", arn: "kms:$name", unique: "name", create: 1, update: 1, delete: 1},
	{typ: "aws:kms/key:Key", terraform: "aws_kms_key", args: kms.KeyArgs{}, res: kms.Key{}, id: "@uuid", arn: "kms:key/$id", unique: "", create: 12, update: 8, delete: 2},
	{typ: "aws:lb/listener:Listener", terraform: "aws_lb_listener", args: lb.ListenerArgs{}, res: lb.Listener{}, id: "$arn", arn: "elasticloadbalancing:listener/app/@16", unique: "loadBalancerArn,port", create: 2, update: 2, delete: 1},
	{typ: "aws:lb/listenerRule:ListenerRule", terraform: "aws_lb_listener_rule", args: lb.ListenerRuleArgs{}, res: lb.ListenerRule{}, id: "$arn", arn: "elasticloadbalancing:listener-rule/app/@16", unique: "listenerArn,priority", create: 1, update: 1, delete: 1},
	{typ: "aws:lb/loadBalancer:LoadBalancer", terraform: "aws_lb", args: lb.LoadBalancerArgs{}, res: lb.LoadBalancer{}, id: "$arn", arn: "elasticloadbalancing:loadbalancer/app/$name/@16", unique: "name", create: 150, update: 5, delete: 20},
	{typ: "aws:lb/targetGroup:TargetGroup", terraform: "aws_lb_target_group", args: lb.TargetGroupArgs{}, res: lb.TargetGroup{}, id: "$arn", arn: "elasticloadbalancing:targetgroup/$name/@16", unique: "name", create: 2, update: 2, delete: 1},
	{typ: "aws:rds/instance:Instance", terraform: "aws_db_instance", args: rds.InstanceArgs{}, res: rds.Instance{}, id: "db-@26", arn: "rds:db:$identifier", unique: "identifier", create: 600, update: 480, delete: 480},
	{typ: "aws:rds/parameterGroup:ParameterGroup", terraform: "aws_db_parameter_group", args: rds.ParameterGroupArgs{}, res: rds.ParameterGroup{}, id: "$name", arn: "rds:pg:$name", unique: "name", create: 5, update: 5, delete: 3},
	{typ: "aws:rds/subnetGroup:SubnetGroup", terraform: "aws_db_subnet_group", args: rds.SubnetGroupArgs{}, res: rds.SubnetGroup{}, id: "$name", arn: "rds:subgrp:$name", unique: "name", create: 3, update: 3, delete: 2},
	{typ: "aws:route53/healthCheck:HealthCheck", terraform: "aws_route53_health_check", args: route53.HealthCheckArgs{}, res: route53.HealthCheck{}, id: "@uuid", arn: "global:route53:healthcheck/$id", unique: "", create: 2, update: 2, delete: 2},
	{typ: "aws:route53/record:Record", terraform: "aws_route53_record", args: route53.RecordArgs{}, res: route53.Record{}, id: "$zoneId_$name_$type_$setIdentifier", arn: "", unique: "zoneId,name,type,setIdentifier", create: 40, update: 40, delete: 40},
	{typ: "aws:route53/zone:Zone", terraform: "aws_route53_zone", args: route53.ZoneArgs{}, res: route53.Zone{}, id: "Z@20", arn: "global:route53:hostedzone/$id", unique: "", create: 45, update: 2, delete: 40},
	{typ: "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", terraform: "aws_s3_bucket_lifecycle_configuration", args: s3.BucketLifecycleConfigurationV2Args{}, res: s3.BucketLifecycleConfigurationV2{}, id: "$bucket", arn: "", unique: "bucket", create: 30, update: 30, delete: 2},
	{typ: "aws:s3/bucketOwnershipControls:BucketOwnershipControls", terraform: "aws_s3_bucket_ownership_controls", args: s3.BucketOwnershipControlsArgs{}, res: s3.BucketOwnershipControls{}, id: "$bucket", arn: "", unique: "bucket", create: 1, update: 1, delete: 1},
	{typ: "aws:s3/bucketPolicy:BucketPolicy", terraform: "aws_s3_bucket_policy", args: s3.BucketPolicyArgs{}, res: s3.BucketPolicy{}, id: "$bucket", arn: "", unique: "bucket", create: 1, update: 1, delete: 1},
	{typ: "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", terraform: "aws_s3_bucket_public_access_block", args: s3.BucketPublicAccessBlockArgs{}, res: s3.BucketPublicAccessBlock{}, id: "$bucket", arn: "", unique: "bucket", create: 1, update: 1, delete: 1},
	{typ: "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", terraform: "aws_s3_bucket_server_side_encryption_configuration", args: s3.BucketServerSideEncryptionConfigurationV2Args{}, res: s3.BucketServerSideEncryptionConfigurationV2{}, id: "$bucket", arn: "", unique: "bucket", create: 1, update: 1, delete: 1},
	{typ: "aws:s3/bucketV2:BucketV2", terraform: "aws_s3_bucket", args: s3.BucketV2Args{}, res: s3.BucketV2{}, id: "$bucket", arn: "s3:$bucket", unique: "bucket!", create: 3, update: 2, delete: 2},
	{typ: "aws:s3/bucketVersioningV2:BucketVersioningV2", terraform: "aws_s3_bucket_versioning", args: s3.BucketVersioningV2Args{}, res: s3.BucketVersioningV2{}, id: "$bucket", arn: "", unique: "bucket", create: 2, update: 2, delete: 2},
	{typ: "aws:secretsmanager/secret:Secret", terraform: "aws_secretsmanager_secret", args: secretsmanager.SecretArgs{}, res: secretsmanager.Secret{}, id: "$arn", arn: "secretsmanager:secret:$name-@6", unique: "name", create: 2, update: 2, delete: 2},
	{typ: "aws:secretsmanager/secretVersion:SecretVersion", terraform: "aws_secretsmanager_secret_version", args: secretsmanager.SecretVersionArgs{}, res: secretsmanager.SecretVersion{}, id: "$secretId|@uuid", arn: "", unique: "", create: 1, update: 1, delete: 0},
	{typ: "aws:servicediscovery/httpNamespace:HttpNamespace", terraform: "aws_service_discovery_http_namespace", args: servicediscovery.HttpNamespaceArgs{}, res: servicediscovery.HttpNamespace{}, id: "ns-@16", arn: "servicediscovery:namespace/$id", unique: "name", create: 15, update: 2, delete: 15},
	{typ: "aws:sns/topic:Topic", terraform: "aws_sns_topic", args: sns.TopicArgs{}, res: sns.Topic{}, id: "$arn", arn: "sns:$name", unique: "name", create: 2, update: 2, delete: 2},
	{typ: "aws:ssm/parameter:Parameter", terraform: "aws_ssm_parameter", args: ssm.ParameterArgs{}, res: ssm.Parameter{}, id: "$name", arn: "ssm:parameter$name", unique: "name", create: 1, update: 1, delete: 1},
	{typ: "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", terraform: "aws_vpc_security_group_egress_rule", args: vpc.SecurityGroupEgressRuleArgs{}, res: vpc.SecurityGroupEgressRule{}, id: "sgr-@17", arn: "ec2:security-group-rule/$id", unique: "securityGroupId,cidrIpv4,referencedSecurityGroupId,fromPort", create: 1, update: 1, delete: 1},
	{typ: "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", terraform: "aws_vpc_security_group_ingress_rule", args: vpc.SecurityGroupIngressRuleArgs{}, res: vpc.SecurityGroupIngressRule{}, id: "sgr-@17", arn: "ec2:security-group-rule/$id", unique: "securityGroupId,cidrIpv4,referencedSecurityGroupId,fromPort", create: 1, update: 1, delete: 1},
	{typ: "aws:wafv2/webAcl:WebAcl", terraform: "aws_wafv2_web_acl", args: wafv2.WebAclArgs{}, res: wafv2.WebAcl{}, id: "@uuid", arn: "wafv2:regional/webacl/$name/$id", unique: "name", create: 3, update: 3, delete: 3},
	{typ: "aws:wafv2/webAclAssociation:WebAclAssociation", terraform: "aws_wafv2_web_acl_association", args: wafv2.WebAclAssociationArgs{}, res: wafv2.WebAclAssociation{}, id: "$webAclArn,$resourceArn", arn: "", unique: "resourceArn", create: 30, update: 5, delete: 3},
}
