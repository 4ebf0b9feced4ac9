package aws

// Terraform is what the Terraform provider calls a type.
func Terraform(typ string) string { return byType()[typ].terraform }
