import secrets

from django.conf import settings
from django.core.files.storage import default_storage
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
    name = default_storage.save(secrets.token_hex(8), request.FILES["file"])
    return JsonResponse({"url": f"/uploads/{name}"})


def download(request, name):
    if not name.isalnum() or not default_storage.exists(name):
        raise Http404
    return FileResponse(default_storage.open(name), content_type="application/octet-stream")
