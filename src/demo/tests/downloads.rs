//! Downloads: the redirect, and the object store behind it.

use super::*;

#[test]
fn downloads_stand_outside_of_the_common_form() {
    let (world, id, ..) = stored();
    let api = Api::new(world);
    let answer = api.get(&format!("/v1/artifacts/{id}"));
    assert!(answer.headers().contains_key("x-request-id"));
    let answer = api.get(&format!("/v1/artifacts/{id}/download"));
    for name in ["x-request-id", "x-api-version"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
}

#[test]
fn downloads_redirect_to_the_store_which_knows_ranges() {
    let (world, id, version, bytes) = stored();
    let api = Api::new(world);
    let base = format!("/v1/artifacts/{id}/download");
    let url = api.presigned(&base);
    assert!(url.starts_with(&format!("{}/bucket/artifacts/", api.server.store_url())));
    for wanted in [&version[..], &version[..8]] {
        api.presigned(&format!("{base}?version_id={wanted}"));
    }
    let short = api.get(&format!("{base}?version_id={}", &version[..7]));
    assert_eq!(code(short).0, 404);
    let empty = version_id(&id, &[]);
    let empty = api.get(&format!("{base}?version_id={empty}"));
    assert_eq!(code(empty).0, 404);

    let whole = api.object(&url, &[]);
    let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.content_length(), Some(bytes.len() as u64));
    assert_eq!(whole.bytes().unwrap(), bytes);
    let part = api.object(&url, &[("range", "bytes=100-299"), ("if-range", &etag)]);
    assert_eq!(part.status(), 206);
    let range = format!("bytes 100-299/{}", bytes.len());
    assert_eq!(part.headers()["content-range"], range.as_str());
    assert_eq!(part.bytes().unwrap(), bytes[100..300]);
    let tail = api.object(&url, &[("range", "bytes=-7")]);
    assert_eq!(tail.bytes().unwrap(), bytes[bytes.len() - 7..]);
    let rest = api.object(&url, &[("range", "bytes=200000-"), ("if-match", &etag)]);
    assert_eq!(rest.bytes().unwrap(), bytes[200_000..]);
    let other = api.object(&url, &[("range", "bytes=5-"), ("if-range", "\"x\"")]);
    assert_eq!(other.status(), 200);
    assert_eq!(
        api.object(&url, &[("if-match", "\"x\"")]).status(),
        StatusCode::PRECONDITION_FAILED
    );
    let past = format!("bytes={}-", bytes.len());
    assert_eq!(api.object(&url, &[("range", &past)]).status(), 416);
    let head = api.client.head(&url).send().unwrap();
    assert_eq!(
        head.headers()["content-length"],
        bytes.len().to_string().as_str()
    );

    let both = api.client.get(&url).bearer_auth(api.server.token());
    let both = both.send().unwrap();
    assert_eq!(both.status(), 400);
    assert!(both.text().unwrap().contains("Only one auth mechanism"));
    let forged = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999");
    let forged = api.object(&forged, &[]);
    assert_eq!(forged.status(), 403);
    assert!(forged.text().unwrap().contains("SignatureDoesNotMatch"));
    api.server.world().url_lifetime = Duration::ZERO;
    let expired = api.object(&api.presigned(&base), &[]);
    assert_eq!(expired.status(), 403);
    assert!(expired.text().unwrap().contains("Request has expired"));
}

#[test]
fn ambiguous_prefixes_and_lost_objects() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Volume, "v");
    let none = world.add_storage(Kind::Volume, "none");
    for end in ["1", "2"] {
        let spec = VersionSpec::lost().id(format!("abcdefab{end}"));
        world.add_version(&id, spec);
    }
    let api = Api::new(world);
    let base = format!("/v1/volumes/{id}/download");
    let twice = api.get(&format!("{base}?version_id=abcdefab"));
    assert_eq!(code(twice), (400, "invalid_parameter".into()));
    let lost = api.object(&api.presigned(&base), &[]);
    assert_eq!(lost.status(), 404);
    assert!(lost.text().unwrap().contains("NoSuchKey"));
    assert_eq!(
        code(api.get(&format!("/v1/volumes/{none}/download"))).0,
        404
    );
    let versions = api.json(&format!("/v1/volumes/{id}/versions"));
    assert_eq!(versions["data"][0]["id"], "abcdefab2", "newest first");
    assert_eq!(versions["data"][0]["volume_id"], id.as_str());
    let detail = api.json(&format!("/v1/volumes/{none}"));
    assert_eq!(detail["current_version"], Value::Null);
}
