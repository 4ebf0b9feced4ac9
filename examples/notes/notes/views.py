import os
import secrets

from django.conf import settings
from django.db import connection
from django.http import FileResponse, Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from .models import Note


def index(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return render(request, "index.html", {
        "notes": Note.objects.all()[:50],
        "visits": request.session["visits"],
        "static": settings.STATIC_URL,
    })


def health(request):
    with connection.cursor() as c:
        c.execute("SELECT 1")
    return HttpResponse("ok")


@require_POST
def add(request):
    text = request.POST.get("text", "").strip()
    if not text:
        return JsonResponse({"error": "a text is needed"}, status=400)
    Note.objects.create(text=text[:500])
    return redirect("/")


@require_POST
def upload(request):
    f = request.FILES["file"]
    name = secrets.token_hex(8)
    os.makedirs(settings.MEDIA_ROOT, exist_ok=True)
    with open(settings.MEDIA_ROOT / name, "wb") as out:
        for chunk in f.chunks():
            out.write(chunk)
    return JsonResponse({"url": f"/uploads/{name}"})


def download(request, name):
    path = settings.MEDIA_ROOT / name
    if not name.isalnum() or not path.is_file():
        raise Http404
    return FileResponse(open(path, "rb"), content_type="application/octet-stream")
