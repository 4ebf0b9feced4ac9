"""Uploads in an S3 bucket, through the standard AWS variables."""
import io
import os

import boto3
from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import Storage


class BucketStorage(Storage):
    def __init__(self):
        # AWS_ENDPOINT_URL_S3 is read by newer versions of boto3 by themselves.
        self.client = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3"))
        self.bucket = settings.FILES_BUCKET

    def _save(self, name, content):
        self.client.upload_fileobj(content, self.bucket, name)
        return name

    def _open(self, name, mode="rb"):
        out = io.BytesIO()
        self.client.download_fileobj(self.bucket, name, out)
        out.seek(0)
        return File(out, name)

    def exists(self, name):
        try:
            self.client.head_object(Bucket=self.bucket, Key=name)
            return True
        except ClientError as e:
            if e.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
